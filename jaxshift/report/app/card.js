// The card of a token: what both models would have said there.

function showCard(browser, view, row, token, pinned) {
  const card = byId('browser-card');
  card.replaceChildren(...cardParts(browser, view, row, pinned));
  card.classList.toggle('pinned', pinned);
  card.hidden = false;
  placeCard(token);
}

function hideCard() {
  byId('browser-card').hidden = true;
}

// Below the token, or above it where there is no room; inside of the window.
function placeCard(token) {
  const card = byId('browser-card');
  const box = token.getClientRects()[0] || token.getBoundingClientRect();
  const {offsetWidth: width, offsetHeight: height} = card;
  const left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - width - 8));
  const below = box.bottom + 6;
  const top = below + height > window.innerHeight && box.top - height > 6 ? box.top - height - 6 : below;
  card.style.left = `${left}px`;
  card.style.top = `${top}px`;
}

function cardParts(browser, view, row, pinned) {
  const {columns} = view;
  const [first, last] = view.rows(browser.state.example);
  const emitted = view.tokens[row];
  const {base, tuned} = view.lists(row);
  const nats = view.emittedNats(row);
  const [inBase, inTuned] = [Math.exp(-nats.base), Math.exp(-nats.tuned)];
  const ranks = {base: view.emittedRanks[row], tuned: columns.emitted_tuned_rank[row] + 1};
  const kind = MEASURES[0].steps[columns.class[row]];
  const parts = [
    element(
      'p', {class: 'card-head', id: 'browser-card-head'},
      element('b', {class: 'name'}, nameOf(view, row)),
      ` ${kind}, token ${row - first + 1} of ${last - first}`,
      ...(pinned ? [closeButton(browser)] : []),
    ),
    facts([
      ['This token', `base ${percent(inBase)} (rank ${ranks.base.toLocaleString('en')}), tuned ${percent(inTuned)} ` +
        `(rank ${ranks.tuned.toLocaleString('en')})`],
      ['Base rank', `${columns.rank[row].toLocaleString('en')}, of the tuned model’s first choice`],
      ['KL(tuned ‖ base)', `${number(values(view, measureOf('kl'))[row])} nats`],
      ['Δ log p', `${number(values(view, measureOf('delta'))[row])} nats`],
      ['Entropy', `base ${number(values(view, measureOf('base_entropy'))[row])}, tuned ` +
        `${number(values(view, measureOf('tuned_entropy'))[row])} nats`],
    ]),
    element(
      'div', {class: 'lists'},
      list('Base would say', base, emitted, {probability: inBase, rank: ranks.base}, view),
      list('Tuned would say', tuned, emitted, {probability: inTuned, rank: ranks.tuned}, view),
    ),
  ];
  const worth = (span) => 2 * span.borrowed + (span.origin !== null);
  const place = row - first;
  const spans = view.spans(browser.state.example).filter((each) => place >= each.first && place < each.last);
  return [...parts, ...spans.sort((one, other) => worth(other) - worth(one)).map(spanPart)];
}

function nameOf(view, row) {
  const text = view.text(row);
  const part = 'part of the character before';
  return text === '' ? part : `“${tokenName(text)}”`;
}

function closeButton(browser) {
  const button = element('button', {type: 'button', class: 'close', 'aria-label': 'Close'}, '×');
  button.addEventListener('click', () => browser.unpin());
  return button;
}

function facts(pairs) {
  const items = pairs.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]);
  return element('dl', {id: 'browser-card-facts'}, ...items);
}

// The likeliest tokens of a model with their bars; the token that was said has a mark, and a line of its own where it
// is none of them.
function list(title, items, emitted, said, view) {
  const rows = items.map((item, i) => listRow(
    view, i + 1, item.token, item.token === emitted ? said.probability : item.probability, item.token === emitted,
  ));
  if (!items.some((item) => item.token === emitted)) {
    rows.push(listRow(view, said.rank, emitted, said.probability, true, 'beyond'));
  }
  return element('div', {}, element('strong', {}, title), element('ol', {}, ...rows));
}

function listRow(view, rank, token, probability, emitted, kind = '') {
  const bar = element('span', {class: 'bar'});
  bar.style.width = `${100 * probability}%`;
  const name = tokenName(view.shared.columns.token_texts[token]);
  return element(
    'li', {class: `${kind} ${emitted ? 'emitted' : ''}`}, bar,
    element('span', {class: 'rank'}, rank.toLocaleString('en')), element('span', {class: 'name', dir: 'auto'}, name),
    element('span', {class: 'share'}, emitted ? `◂ ${percent(probability)}` : percent(probability)),
  );
}

function spanPart(span) {
  const called = span.borrowed ? 'Borrowed' : 'Stands in the tuning data';
  const head = `${called}: a span of ${counted(span.last - span.first, 'token')}`;
  if (!span.origin) return element('p', {class: 'origin'}, `${head}; no row was looked for.`);
  const {id, text, rows} = span.origin;
  return element(
    'p', {class: 'origin'}, `${head}, in ${counted(rows, 'row')}; ${id}: `, element('q', {}, visible(text, false)),
  );
}
