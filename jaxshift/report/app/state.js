// What is shown, as the part of the address behind #: a link brings it back.

const MARK = '#browse?';
const DEFAULTS = {
  by: 'class', sort: 'asked', search: '', filter: 'kl', side: 'least', limit: null, kind: 'shifted', share: 0,
  borrowed: false, marks: false, spans: false,
};

// The state that an address asks for; what it does not name, or names wrongly, is as at first.
function stateOf(hash, shared, names) {
  const asked = new URLSearchParams(hash.startsWith(MARK) ? hash.slice(MARK.length) : '');
  const example = exampleOf(asked, shared);
  const state = {...DEFAULTS, example: example < 0 ? null : example, token: null};
  state.linked = asked.has('example') ? {id: asked.get('example'), example} : null;
  for (const key of ['by', 'filter']) state[key] = measureOf(asked.get(key) ?? DEFAULTS[key]).key;
  const among = (key, choices) => { if (choices.includes(asked.get(key))) state[key] = asked.get(key); };
  among('sort', ORDERS.map(([key]) => key));
  among('side', ['least', 'most']);
  among('kind', ['shifted', 'marginal', 'shifted_or_marginal']);
  state.search = asked.get('search') || '';
  state.limit = asNumber(asked.get('limit'));
  state.share = asNumber(asked.get('share')) ?? 0;
  for (const key of ['borrowed', 'marks', 'spans']) state[key] = asked.has(key);
  state.borrowed &&= shared.about.views.some(({borrowed}) => borrowed);
  const runs = (asked.get('runs') || '').split(',').filter((name) => names.includes(name)).slice(0, 4);
  state.views = runs.length ? runs : firstOfMethods(shared.about.views, names);
  const [place, view] = (asked.get('token') || '').split(/,(.*)/s);
  if (/^\d+$/.test(place) && state.views.includes(view)) state.token = {place: Number(place), view};
  return {...state, ...ordered(state)};
}

// Of several prompts with the same id `prompt` tells which.
function exampleOf(asked, shared) {
  const {ids} = shared.columns;
  const number = Number(asked.get('prompt') ?? -1);
  return ids[number] === asked.get('example') ? number : ids.indexOf(asked.get('example'));
}

function asNumber(text) {
  return text === null || text.trim() === '' || !Number.isFinite(Number(text)) ? null : Number(text);
}

function hashOf(state, shared) {
  const {ids} = shared.columns;
  const asked = new URLSearchParams();
  if (state.example !== null) {
    asked.set('example', ids[state.example]);
    if (ids.indexOf(ids[state.example]) !== state.example) asked.set('prompt', state.example);
  }
  asked.set('runs', state.views.join(','));
  for (const [key, value] of Object.entries(DEFAULTS)) {
    if (state[key] !== value) asked.set(key, state[key] === true ? '' : state[key]);
  }
  if (state.token) asked.set('token', `${state.token.place},${state.token.view}`);
  return MARK + asked;
}

// At first the runs of two methods, side by side.
function firstOfMethods(abouts, names) {
  const methods = abouts.map(({method}) => method);
  return names.filter((_, i) => abouts[i].context === 'own' && methods.indexOf(methods[i]) === i).slice(0, 2);
}
