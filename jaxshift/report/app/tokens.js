// A response of a run, token by token.

function responsePane(browser, view, example) {
  const [first, last] = view.rows(example);
  const {run, whose, method, context} = view.about;
  const head = element(
    'div', {class: 'pane-head'},
    element('strong', {}, run), method === run ? ' ' : ` (${method}) `,
    element('span', {class: context === 'own' ? 'whose' : 'whose given'}, `${context} context: ${whose}`),
    element('small', {}, last > first ? summaryOf(view, first, last) : 'no records of this prompt'),
  );
  const box = element('div', {
    class: 'tokens', role: 'listbox', tabindex: 0, dir: 'auto', 'aria-label': `Tokens of ${run}, ${whose}`,
    'data-view': view.name,
  });
  drawTokens(browser, view, example, box);
  return element('div', {class: 'pane'}, head, box);
}

function summaryOf(view, first, last) {
  const [shifted, marginal] = ['shifted', 'marginal'].map((kind) => countOf(view, first, last, kind));
  const mean = number(summed(view, first, last, measureOf('kl'), 'mean'));
  return `${counted(last - first, 'token')}, ${shifted} shifted, ${marginal} marginal; mean KL ${mean} nats`;
}

function drawTokens(browser, view, example, box) {
  const {state} = browser;
  const [first, last] = view.rows(example);
  const measure = measureOf(state.by);
  const column = values(view, measure);
  const hits = hitsOf(view, example, state.search);
  const matches = matcher(view, state);
  const ends = new Set(view.shared.columns.ends);
  const spans = view.spans(example);
  const tokens = [];
  for (let row = first; row < last; row++) {
    const text = view.text(row);
    const token = document.createElement('span');
    let kind = `t ${tint(measure, step(measure, column[row]))}`;
    if (text === '') kind += ' part';
    if (ends.has(view.tokens[row])) kind += ' end';
    if (hits[row - first]) kind += ' hit';
    if (matches && matches(row)) kind += ' match';
    for (const span of spans) {
      if (row - first < span.first || row - first >= span.last) continue;
      if (span.borrowed || state.spans) kind += span.borrowed ? ' borrowed' : ' span';
    }
    token.className = kind;
    token.setAttribute('role', 'option');
    // The mark of a part of a character has no text of its own to be read out.
    if (text === '') token.setAttribute('aria-label', 'goes on with the character before');
    // Blanks before a word are not coloured with it, and a text does not begin with them.
    const [, blanks, word] = /^( *)(.*)$/su.exec(text === '' ? '‥' : visible(text, state.marks));
    token.textContent = word || blanks;
    if (word && blanks && row > first) tokens.push(blanks);
    tokens.push(token);
  }
  box.replaceChildren(...tokens);
}

// Which tokens of a response lie in what is searched for.
function hitsOf(view, example, search) {
  const [first, last] = view.rows(example);
  const hits = new Uint8Array(last - first);
  const wanted = lower(search);
  if (!wanted) return hits;
  const text = lower(view.response(example));
  const found = new Uint8Array(text.length);
  for (let from = text.indexOf(wanted); from >= 0; from = text.indexOf(wanted, from + 1)) {
    found.fill(1, from, from + wanted.length);
  }
  for (let row = first, at = 0; row < last; row++) {
    const end = at + view.text(row).length;
    hits[row - first] = found.subarray(at, end).includes(1);
    at = end;
  }
  return hits;
}

// The legend: what each tint says.
function drawLegend(browser) {
  const measure = measureOf(browser.state.by);
  const items = Array.from({length: measure.bounds.length + 1}, (_, steps) => {
    const sample = element('span', {class: `t ${tint(measure, steps)}`}, stepLabel(measure, steps));
    return element('li', {}, sample);
  });
  const unit = measure.unit ? `, ${measure.unit}` : '';
  byId('browser-legend').replaceChildren(
    element('span', {}, element('strong', {}, measure.label), `${unit}: ${measure.hint}`), element('ul', {}, ...items),
  );
}
