// Pointer, keys and scrolling in the list and in the responses.

function listenToHands(browser) {
  const panes = byId('browser-panes');
  const touch = () => { browser.touched = true; };
  byId('browser').addEventListener('pointerdown', touch, {capture: true});
  byId('browser').addEventListener('keydown', touch, {capture: true});
  panes.addEventListener('pointerover', (event) => hover(browser, event.target));
  panes.addEventListener('pointerleave', () => { if (!browser.state.token) hideCard(); });
  panes.addEventListener('click', (event) => {
    const token = event.target.closest('.t');
    if (token?.id) browser.unpin();
    else if (token) browser.pin(token.parentElement.dataset.view, placeOf(token));
  });
  panes.addEventListener('scroll', (event) => scrollTogether(browser, event.target), {capture: true});
  panes.addEventListener('keydown', (event) => keyInTokens(browser, event));
  byId('browser-list').addEventListener('keydown', (event) => keyInList(browser, event));
  byId('browser').addEventListener('keydown', (event) => keyAnywhere(browser, event));
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && browser.state.token) browser.unpin();
  });
  byId('browser-next').addEventListener('click', () => browser.list.move(1));
  byId('browser-before').addEventListener('click', () => browser.list.move(-1));
  for (const event of ['resize', 'scroll']) window.addEventListener(event, follow);
}

// A pinned card stays with its token, another goes.
function follow() {
  const token = byId('browser-token');
  if (token) placeCard(token);
  else hideCard();
}

function placeOf(token) {
  return Array.prototype.indexOf.call(token.parentElement.children, token);
}

// A card follows the pointer until a token is pinned.
function hover(browser, target) {
  const token = target.closest('.t');
  if (!token || browser.state.token) return;
  const name = token.parentElement.dataset.view;
  showCard(browser, browser.views.get(name), browser.rowOf(name, placeOf(token)), token, false);
}

// Responses side by side show the same part of each. Where a box stands as it was put, it is not the reader's hand.
function scrollTogether(browser, box) {
  follow();
  if (browser.scrolled.get(box) === box.scrollTop) return;
  browser.scrolled.delete(box);
  const share = box.scrollTop / Math.max(1, box.scrollHeight - box.clientHeight);
  for (const other of byId('browser-panes').querySelectorAll('.tokens')) {
    const top = Math.round(share * (other.scrollHeight - other.clientHeight));
    if (other === box || Math.abs(other.scrollTop - top) < 2) continue;
    other.scrollTop = top;
    browser.scrolled.set(other, other.scrollTop);
  }
}

const LIST_KEYS = {ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity};

function keyInList(browser, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in LIST_KEYS) browser.list.move(LIST_KEYS[event.key]);
  else if (event.key === 'Enter') byId('browser-panes').querySelector('.tokens')?.focus();
  else return;
  event.preventDefault();
}

function keyInTokens(browser, event) {
  const box = event.target.closest('.tokens');
  if (!box || event.ctrlKey || event.metaKey || event.altKey) return;
  const tokens = [...box.children];
  const {token} = browser.state;
  const ahead = getComputedStyle(box).direction === 'rtl' ? -1 : 1;
  const place = token?.view === box.dataset.view ? token.place : -1;
  const next = {
    ArrowRight: () => place + ahead, ArrowLeft: () => place - ahead, Home: () => 0, End: () => tokens.length - 1,
    ArrowDown: () => lineBelow(tokens, place, ahead), ArrowUp: () => lineAbove(tokens, place, ahead),
    n: () => remarkable(tokens, place, 1), p: () => remarkable(tokens, place, -1),
  }[event.key];
  if (!next || !tokens.length) return;
  event.preventDefault();
  browser.pin(box.dataset.view, Math.max(0, Math.min(tokens.length - 1, next())));
}

// The next token that is not plain, as it is coloured; where there is none, the token itself.
function remarkable(tokens, place, by) {
  const plain = /\b(unshifted|h[0-3]|d[2-4])\b/;
  for (let at = place + by; at >= 0 && at < tokens.length; at += by) if (!plain.test(tokens[at].className)) return at;
  return place;
}

// Where a token begins and ends along its line, or its first one; counted from the right where the text runs so.
function edges(token, ahead) {
  const {left, right} = token.getClientRects()[0];
  return ahead > 0 ? {begin: left, end: right} : {begin: -right, end: -left};
}

function lineBelow(tokens, place, ahead) {
  const from = tokens[Math.max(0, place)];
  const {begin} = edges(from, ahead);
  const at = tokens.findIndex((token) => token.offsetTop > from.offsetTop + 4 && edges(token, ahead).end > begin);
  return at < 0 ? tokens.length - 1 : at;
}

function lineAbove(tokens, place, ahead) {
  const from = tokens[Math.max(0, place)];
  const {begin} = edges(from, ahead);
  const above = (token) => token.offsetTop < from.offsetTop - 4;
  const at = tokens.findLastIndex((token) => above(token) && edges(token, ahead).begin <= begin);
  return at < 0 ? 0 : at;
}

function keyAnywhere(browser, event) {
  if (event.target.matches('input, select') || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'j') browser.list.move(1);
  else if (event.key === 'k') browser.list.move(-1);
  else if (event.key === '/') byId('browser-search').focus();
  else return;
  event.preventDefault();
}
