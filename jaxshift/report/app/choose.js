// Which examples are listed, and in which order.

const ORDERS = [
  ['asked', 'as asked'],
  ['shifted', 'share shifted'],
  ['shifted_or_marginal', 'share shifted or marginal'],
  ['mean', 'mean of the measure'],
  ['most', 'most remarkable token'],
  ['length', 'length'],
];

// Classes are no numbers, and have no mean.
function ordered({by, sort}) {
  return {sort: by === 'class' && sort === 'mean' ? 'shifted' : sort};
}

// A test of rows against the filter by measure; null where there is none.
function matcher(view, state) {
  if (state.limit === null) return null;
  const column = values(view, measureOf(state.filter));
  const {limit} = state;
  return state.side === 'most' ? (row) => column[row] <= limit : (row) => column[row] >= limit;
}

// The numbers of the examples that pass the filters in any of the views, sorted, with the count of matching tokens.
function choose(shared, views, state) {
  const found = [];
  let matching = 0;
  const tests = views.map((view) => matcher(view, state));
  for (let example = 0; example < shared.columns.ids.length; example++) {
    const counts = views.map((view, i) => passes(view, example, state, tests[i]));
    if (counts.every((count) => count < 0) || !searched(shared, views, example, state.search)) continue;
    for (const count of counts) matching += Math.max(0, count);
    found.push(example);
  }
  return {examples: sorted(found, views, state), matching};
}

// How many tokens of a response match; -1 where the response does not pass.
function passes(view, example, state, test) {
  const [first, last] = view.rows(example);
  if (first === last) return -1;
  if (state.share > 0 && 100 * shareOf(view, first, last, state.kind) < state.share) return -1;
  if (state.borrowed && !view.spans(example).some((span) => span.borrowed)) return -1;
  if (!test) return 0;
  let count = 0;
  for (let row = first; row < last; row++) count += test(row);
  return count || -1;
}

// The share of tokens of a class, or of both classes that are not unshifted.
function shareOf(view, first, last, kind) {
  return countOf(view, first, last, kind) / Math.max(1, last - first);
}

function countOf(view, first, last, kind) {
  const least = kind === 'shifted' ? 2 : 1;
  const most = kind === 'marginal' ? 1 : 2;
  const {class: classes} = view.columns;
  let count = 0;
  for (let row = first; row < last; row++) count += classes[row] >= least && classes[row] <= most;
  return count;
}

function searched(shared, views, example, search) {
  if (!search) return true;
  const wanted = lower(search);
  const {ids, prompts} = shared.columns;
  if (lower(ids[example]).includes(wanted) || lower(prompts[example]).includes(wanted)) return true;
  return views.some((view) => lowered(view)[example].includes(wanted));
}

// All responses in small letters.
function lowered(view) {
  if (!view.lowered) view.lowered = view.shared.columns.ids.map((_, i) => lower(view.response(i)));
  return view.lowered;
}

// In small letters, each of them where its capital letter was.
function lower(text) {
  const lowered = text.toLowerCase();
  if (lowered.length === text.length) return lowered;
  const one = (char) => (char.toLowerCase().length === char.length ? char.toLowerCase() : char);
  return Array.from(text, one).join('');
}

function sorted(examples, views, state) {
  if (state.sort === 'asked') return examples;
  const keys = new Map(examples.map((example) => [example, Math.max(...views.map((v) => sortKey(v, example, state)))]));
  return examples.sort((one, other) => keys.get(other) - keys.get(one) || one - other);
}

// The greater the earlier.
function sortKey(view, example, state) {
  const [first, last] = view.rows(example);
  if (first === last) return -Infinity;
  if (state.sort === 'length') return last - first;
  if (state.sort === 'shifted' || state.sort === 'shifted_or_marginal') return shareOf(view, first, last, state.sort);
  const measure = measureOf(state.by);
  const value = summed(view, first, last, measure, state.sort);
  if (measure.signed && state.sort === 'most') return Math.abs(value);
  return measure.low ? -value : value;
}

// The mean of a measure over a response, or its most remarkable value.
function summed(view, first, last, measure, sort) {
  const column = values(view, measure).subarray(first, last);
  if (sort === 'mean') return column.reduce((sum, value) => sum + value, 0) / column.length;
  const size = (value) => (measure.signed ? Math.abs(value) : measure.low ? -value : value);
  return column.reduce((one, other) => (size(other) > size(one) ? other : one));
}

// What the list says of an example: of each run, what it is sorted by.
function noteOf(views, example, state) {
  const measure = measureOf(state.by);
  const said = (value) => (measure.steps ? measure.steps[value] : number(value));
  const share = (kind) => (view, first, last) => `${countOf(view, first, last, kind)} of ${last - first}`;
  const [title, of] = {
    length: ['tokens', (view, first, last) => last - first],
    mean: ['mean', (view, first, last) => said(summed(view, first, last, measure, 'mean'))],
    most: ['most remarkable', (view, first, last) => said(summed(view, first, last, measure, 'most'))],
    shifted_or_marginal: ['shifted or marginal', share('shifted_or_marginal')],
  }[state.sort] || ['shifted', share('shifted')];
  const values = views.map((view) => {
    const [first, last] = view.rows(example);
    return `${views.length > 1 ? `${view.name} ` : ''}${first === last ? 'not asked' : of(view, first, last)}`;
  });
  return `${title}: ${values.join(', ')}`;
}
