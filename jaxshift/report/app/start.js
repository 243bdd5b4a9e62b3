// Begins when the page is read.

async function start() {
  if (!byId('browser')) return;
  if (!window.DecompressionStream) throw new Error('this browser cannot unpack them, as it lacks DecompressionStream');
  const browser = new Browser(await island('examples'));
  await browser.unpacked(browser.state.views);
  fillControls(browser);
  listenToControls(browser);
  listenToHands(browser);
  window.addEventListener('hashchange', () => reopen(browser));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => browser.refresh());
  browser.refresh();
  if (location.hash.startsWith(MARK)) reveal(browser);
  byId('browser').classList.add('ready');
  performance.mark('browser-ready');
}

async function reopen(browser) {
  clearTimeout(browser.remembering);
  if (!location.hash.startsWith(MARK)) return;
  await browser.change(stateOf(location.hash, browser.shared, browser.names));
  setControls(browser);
  reveal(browser);
}

// A linked token came into sight as it was drawn.
function reveal(browser) {
  if (!browser.state.token) byId('browser').scrollIntoView();
}

// Says why responses are not shown; controls that would do nothing go.
function failed(error) {
  byId('browser').classList.add('failed');
  byId('browser-found').textContent = notShown(error);
}

function notShown(error) {
  return `Responses are not shown: ${error.message}.`;
}

document.addEventListener('DOMContentLoaded', () => start().catch(failed));
