// The positions of a run's responses: columns of report/positions.py, read position by position or as a whole.

class View {
  constructor(about, columns, shared) {
    this.about = about;
    this.columns = columns;
    this.shared = shared;
    this.name = about.context === 'own' ? about.run : `${about.run}@${about.context}`;
    this.starts = sums(columns.lengths);
    this.size = columns.token.length;
    this.baseAt = sums(columns.base_count);
    this.tunedAt = sums(columns.tuned_count);
    const {nowhere} = shared.about;
    const isNew = columns.tuned_where.map((where) => Number(where === nowhere));
    this.newBefore = sums(isNew);
    this.divided = new Map(Array.from(columns.divided, (row, i) => [row, columns.divided_texts[i]]));
    this.spansOf = grouped(columns.span_example || []);
    this.cached = new Map();
    this.restore();
  }

  // Columns that are kept as differences.
  restore() {
    const {token, rank, emitted_rank: emittedRank} = this.columns;
    this.tokens = new Uint32Array(this.size);
    this.emittedRanks = new Uint32Array(this.size);
    for (let row = 0; row < this.size; row++) {
      this.tokens[row] = token[row] + this.firstTuned(row);
      this.emittedRanks[row] = emittedRank[row] + rank[row];
    }
  }

  // What a token has in the tuned model, less what it has in the base: its log-probability, in nats.
  delta(row) {
    const code = this.columns.delta[row];
    const size = decoded(this.shared, 'delta', code >> 1);
    return code & 1 ? -size : size;
  }

  // Minus the log-probability of the emitted token; the likelier one and the difference are kept.
  emittedNats(row) {
    const likelier = decoded(this.shared, 'logprob', this.columns.emitted[row]);
    const delta = this.delta(row);
    return {base: likelier + Math.max(delta, 0), tuned: likelier + Math.max(-delta, 0)};
  }

  // Minus the base's log-probability of the tuned model's first choice.
  choiceNats(row) {
    const {token, base} = this.columns;
    return token[row] === 0 ? this.emittedNats(row).base : decoded(this.shared, 'logprob', base[row]);
  }

  firstTuned(row) {
    const {tuned_where: where, tuned_new: fresh, base_tokens: base} = this.columns;
    const item = this.tunedAt[row];
    const place = where[item];
    return place === this.shared.about.nowhere ? fresh[this.newBefore[item]] : base[this.baseAt[row] + place];
  }

  // The rows of an example, [first, last).
  rows(example) {
    return [this.starts[example], this.starts[example + 1]];
  }

  // What a token adds to its text; '' where it goes on with a character that another began.
  text(row) {
    return this.divided.get(row) ?? this.shared.columns.token_texts[this.tokens[row]];
  }

  // A response as one text.
  response(example) {
    const [first, last] = this.rows(example);
    let text = '';
    for (let row = first; row < last; row++) text += this.text(row);
    return text;
  }

  // The likeliest tokens of both models at a position, each {token, probability}.
  lists(row) {
    const base = this.baseList(row);
    const {tuned_where: where, tuned_new: fresh, tuned_steps: steps} = this.columns;
    const left = [...base];
    const tuned = [];
    let code = this.listed(this.emittedNats(row).tuned);
    for (let item = this.tunedAt[row]; item < this.tunedAt[row + 1]; item++) {
      const known = where[item] === this.shared.about.nowhere ? null : left.splice(where[item], 1)[0];
      code = ((known && tuned.length ? known.code : code) + steps[item]) & 255;
      tuned.push({token: known ? known.token : fresh[this.newBefore[item]], code});
    }
    const read = ({token, code}) => ({token, probability: Math.exp(-decoded(this.shared, 'listed', code))});
    return {base: base.map(read), tuned: tuned.map(read)};
  }

  baseList(row) {
    const {base_tokens: tokens, base_steps: steps} = this.columns;
    const list = [];
    let code = this.listed(this.choiceNats(row));
    for (let item = this.baseAt[row]; item < this.baseAt[row + 1]; item++) {
      code = (code + steps[item]) & 255;
      list.push({token: tokens[item], code});
    }
    return list;
  }

  // Lists have codes of a coarser scale.
  listed(nats) {
    const {scale, per} = this.shared.about.codes.listed;
    return Math.min(Math.round(scale * Math.log1p(per * nats)), 255);
  }

  // Spans of the tuning data in a response: places of its tokens, and the row they came from where it is known.
  spans(example) {
    const {columns} = this;
    return (this.spansOf.get(example) || []).map((i) => {
      const row = columns.span_row[i] - 1;
      const origin = {id: columns.row_ids[row], text: columns.row_texts[row], rows: columns.row_counts[row]};
      return {
        first: columns.span_position[i], last: columns.span_position[i] + columns.span_tokens[i],
        borrowed: columns.span_borrowed[i] === 1, origin: row < 0 ? null : origin,
      };
    });
  }
}

// Sums of all numbers before each, and of all.
function sums(counts) {
  const total = new Uint32Array(counts.length + 1);
  for (let i = 0; i < counts.length; i++) total[i + 1] = total[i] + counts[i];
  return total;
}

// The places of each value.
function grouped(values) {
  const places = new Map();
  values.forEach((value, i) => (places.get(value) || places.set(value, []).get(value)).push(i));
  return places;
}

// The number behind a code of report/positions.py.
function decoded(shared, name, code) {
  const {scale, per} = shared.about.codes[name];
  return Math.expm1(code / scale) / per;
}
