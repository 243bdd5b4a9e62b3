// The choices above the list, and what they do.

function fillControls(browser) {
  const {state} = browser;
  for (const id of ['by', 'filter']) {
    byId(`browser-${id}`).append(...MEASURES.map(({key, label}) => element('option', {value: key}, label)));
  }
  byId('browser-sort').append(...ORDERS.map(([key, label]) => element('option', {value: key}, label)));
  byId('browser-runs').append(...browser.abouts.map((about, i) => runChoice(browser, about, browser.names[i])));
  for (const id of ['borrowed', 'spans']) {
    byId(`browser-${id}`).closest('label').hidden = !browser.abouts.some((about) => about[id]);
  }
  if (state.limit !== null || state.share > 0 || state.borrowed) byId('browser-filters').open = true;
  setControls(browser);
}

function runChoice(browser, about, name) {
  const box = element('input', {type: 'checkbox', value: name});
  const given = about.context === 'own' ? '' : ` on ${about.whose}`;
  return element('label', {}, box, ` ${about.run}${given}`);
}

// Puts the state into the controls.
function setControls(browser) {
  const {state} = browser;
  for (const id of ['by', 'search', 'filter', 'side', 'kind']) byId(`browser-${id}`).value = state[id];
  byId('browser-limit').value = state.limit ?? '';
  byId('browser-share').value = state.share || '';
  for (const id of ['borrowed', 'marks', 'spans']) byId(`browser-${id}`).checked = state[id];
  setRuns(state.views);
  setOrder(browser);
}

function setOrder(browser) {
  const {by, sort} = browser.state;
  byId('browser-sort').value = sort;
  byId('browser-sort').querySelector('[value=mean]').disabled = by === 'class';
}

// At least one run is shown, and at most four.
function setRuns(views) {
  for (const box of byId('browser-runs').querySelectorAll('input')) {
    box.checked = views.includes(box.value);
    box.disabled = box.checked ? views.length === 1 : views.length === 4;
  }
}

function listenToControls(browser) {
  const on = (id, event, read) => byId(`browser-${id}`).addEventListener(event, (fired) => {
    browser.touched = true;
    browser.change(read(fired.target));
  });
  for (const id of ['by', 'sort', 'filter', 'side', 'kind']) on(id, 'change', ({value}) => ({[id]: value}));
  on('search', 'input', ({value}) => ({search: value}));
  on('limit', 'input', ({value}) => ({limit: asNumber(value)}));
  on('share', 'input', ({value}) => ({share: asNumber(value) ?? 0}));
  for (const id of ['borrowed', 'marks', 'spans']) on(id, 'change', ({checked}) => ({[id]: checked}));
  on('runs', 'change', () => {
    const chosen = [...byId('browser-runs').querySelectorAll('input:checked')].map((box) => box.value);
    setRuns(chosen);
    return {views: chosen};
  });
  byId('browser-tools').addEventListener('submit', (event) => event.preventDefault());
  byId('browser-clear').addEventListener('click', () => {
    const {filter, side, limit, kind, share, borrowed, search} = DEFAULTS;
    browser.change({filter, side, limit, kind, share, borrowed, search});
    setControls(browser);
  });
}
