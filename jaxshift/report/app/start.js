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
  // A linked token comes into sight as it is drawn.
  if (location.hash.startsWith(MARK) && !browser.state.token) byId('browser').scrollIntoView();
  browser.refresh();
  byId('browser').classList.add('ready');
  performance.mark('browser-ready');
}

async function reopen(browser) {
  clearTimeout(browser.remembering);
  if (!location.hash.startsWith(MARK)) return;
  const asked = stateOf(location.hash, browser.shared, browser.names);
  const {token} = asked;
  await browser.change(asked);
  setControls(browser);
  if (!token) byId('browser').scrollIntoView();
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
