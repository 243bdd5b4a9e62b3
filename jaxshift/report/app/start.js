// Begins when the page is read.

async function start() {
  if (!byId('browser')) return;
  if (!window.DecompressionStream) {
    byId('browser-found').textContent = 'This browser cannot unpack the responses: it lacks DecompressionStream.';
    return;
  }
  const browser = new Browser(await island('examples'));
  fillControls(browser);
  listenToControls(browser);
  listenToHands(browser);
  window.addEventListener('hashchange', () => reopen(browser));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => browser.refresh());
  await browser.refresh();
  byId('browser').classList.add('ready');
  performance.mark('browser-ready');
  if (location.hash.startsWith(MARK)) byId('browser').scrollIntoView();
}

async function reopen(browser) {
  if (!location.hash.startsWith(MARK)) return;
  browser.state = stateOf(location.hash, browser.shared, browser.names);
  setControls(browser);
  await browser.refresh();
  byId('browser').scrollIntoView();
}

document.addEventListener('DOMContentLoaded', start);
