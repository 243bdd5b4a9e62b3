// What tokens can be coloured by, filtered by and sorted by.

// `bounds` part the values into steps; `low`: small values are the remarkable ones.
const MEASURES = [
  {
    key: 'class', label: 'Shift class', of: (view) => view.columns.class, bounds: [1, 2],
    steps: ['unshifted', 'marginal', 'shifted'], unit: '',
    hint: 'how far down the base ranks what the tuned model would say',
  },
  {
    key: 'kl', label: 'KL(tuned ‖ base)', of: (view) => coded(view, 'kl', view.columns.kl),
    bounds: [0.01, 0.1, 0.3, 1, 2, 4, 8], unit: 'nats', hint: 'over the whole vocabulary',
  },
  {
    key: 'probability', label: 'Base probability', of: probabilities, low: true,
    bounds: [0.9, 0.7, 0.5, 0.3, 0.1, 0.03, 0.01], unit: '', hint: 'of the tuned model’s first choice',
  },
  {
    key: 'rank', label: 'Base rank', of: (view) => view.columns.rank, bounds: [2, 3, 4, 6, 11, 101, 1001],
    unit: '', hint: 'of the tuned model’s first choice; 1 is the top', whole: true,
  },
  {
    key: 'base_entropy', label: 'Entropy, base', of: (view) => coded(view, 'entropy', view.columns.base_entropy),
    bounds: [0.1, 0.3, 0.6, 1, 2, 3, 5], unit: 'nats', hint: 'how unsure the base is',
  },
  {
    key: 'tuned_entropy', label: 'Entropy, tuned', of: (view) => coded(view, 'entropy', view.columns.tuned_entropy),
    bounds: [0.1, 0.3, 0.6, 1, 2, 3, 5], unit: 'nats', hint: 'how unsure the tuned model is',
  },
  {
    key: 'delta', label: 'Δ log p', of: (view) => byRow(view, (row) => view.delta(row)),
    bounds: [-3, -1, -0.3, 0.3, 1, 3], signed: true,
    unit: 'nats', hint: 'log-probability of this token: tuned minus base',
  },
];

function measureOf(key) {
  return MEASURES.find((measure) => measure.key === key) || MEASURES[0];
}

// All values of a measure, position by position.
function values(view, measure) {
  if (!view.cached.has(measure.key)) view.cached.set(measure.key, measure.of(view));
  return view.cached.get(measure.key);
}

function coded(view, name, codes) {
  const table = new Float32Array(1 + codes.reduce((most, code) => Math.max(most, code), 0));
  for (let code = 0; code < table.length; code++) table[code] = decoded(view.shared, name, code);
  const found = new Float32Array(codes.length);
  for (let row = 0; row < codes.length; row++) found[row] = table[codes[row]];
  return found;
}

function probabilities(view) {
  return byRow(view, (row) => Math.exp(-view.choiceNats(row)));
}

function byRow(view, of) {
  const found = new Float32Array(view.size);
  for (let row = 0; row < view.size; row++) found[row] = of(row);
  return found;
}

// The step of a value, from 0.
function step(measure, value) {
  let steps = 0;
  for (const bound of measure.bounds) steps += measure.low ? value < bound : value >= bound;
  return steps;
}

// The class that colours a step.
function tint(measure, steps) {
  if (measure.key === 'class') return measure.steps[steps];
  return measure.signed ? `d${steps}` : `h${steps}`;
}

function stepLabel(measure, steps) {
  if (measure.steps) return measure.steps[steps];
  const bounds = measure.bounds;
  const [below, above] = [bounds[steps - 1], bounds[steps]];
  if (measure.whole) return wholeLabel(below ?? 1, above);
  if (measure.low) {
    if (below === undefined) return `≥ ${above}`;
    return above === undefined ? `< ${below}` : `${above}–${below}`;
  }
  if (below === undefined) return `< ${signed(measure, above)}`;
  const from = signed(measure, below);
  return above === undefined ? `≥ ${from}` : `${from} to ${signed(measure, above)}`;
}

function wholeLabel(from, end) {
  if (end === undefined) return `≥ ${from.toLocaleString('en')}`;
  return from === end - 1 ? `${from}` : `${from}–${(end - 1).toLocaleString('en')}`;
}

function signed(measure, value) {
  return measure.signed && value > 0 ? `+${value}` : `${value}`.replace('-', '−');
}

// A number to two digits, large ones whole.
function number(value) {
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString('en');
  const size = Math.abs(value);
  if (size < 0.001) return value < 0 ? '> −0.001' : '< 0.001';
  return `${value < 0 ? '−' : ''}${size.toFixed(size >= 10 ? 1 : Math.min(4, 1 - Math.floor(Math.log10(size))))}`;
}

function percent(probability) {
  const value = 100 * probability;
  if (value >= 99.95) return '> 99.9 %';
  if (value >= 10) return `${value.toFixed(value >= 99 ? 1 : 0)} %`;
  if (value >= 0.095) return `${value.toFixed(1)} %`;
  if (value === 0) return '0 %';
  return value >= 0.001 ? `${value.toPrecision(1)} %` : '< 0.001 %';
}
