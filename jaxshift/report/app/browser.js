// The example browser: what is chosen on the left and above, the responses on the right.

const STRIP = 5; // pixels of a strip in the list, with the gap below it

class Browser {
  constructor(shared) {
    this.shared = shared;
    this.abouts = shared.about.views;
    this.names = this.abouts.map(({run, context}) => (context === 'own' ? run : `${run}@${context}`));
    this.views = new Map(); // of those that were shown, because unpacking takes a moment
    this.unpacking = new Map();
    this.wanted = {}; // changes that wait until their views are unpacked
    this.scrolled = new WeakMap(); // where boxes were put, to scroll with another
    this.state = stateOf(location.hash, shared, this.names);
    this.list = new ExampleList(this);
  }

  shown() {
    return this.state.views.map((name) => this.views.get(name));
  }

  async unpack(name) {
    const number = this.names.indexOf(name);
    const {columns} = await island(`view-${number}`);
    this.views.set(name, new View(this.abouts[number], columns, this.shared));
  }

  // Unpacks those views that are not yet, each once.
  unpacked(names) {
    for (const name of names) if (!this.unpacking.has(name)) this.unpacking.set(name, this.unpack(name));
    return Promise.all(names.map((name) => this.unpacking.get(name)));
  }

  // Shows another choice of examples, runs or colours; in another order from its beginning. Until all views that it
  // asks for are unpacked, what was shown stays.
  async change(changes) {
    const order = 'sort' in changes ? {example: null} : {};
    const wanted = Object.assign(this.wanted, {token: null, linked: null}, order, changes);
    const views = wanted.views ?? this.state.views;
    if (!views.every((name) => this.views.has(name))) {
      byId('browser-found').textContent = 'Unpacking …';
      try {
        await this.unpacked(views);
      } catch (error) {
        this.wanted = {};
        this.refresh();
        byId('browser-found').textContent = notShown(error);
        return;
      }
    }
    if (wanted !== this.wanted || views !== (wanted.views ?? this.state.views)) return; // done, or asked for others
    this.wanted = {};
    Object.assign(this.state, wanted);
    this.refresh();
  }

  refresh() {
    Object.assign(this.state, ordered(this.state));
    setRuns(this.state.views);
    setOrder(this);
    const {examples, matching} = choose(this.shared, this.shown(), this.state);
    const note = this.noteOfLink(examples);
    if (note) Object.assign(this.state, {linked: null, token: null}); // said once; its token is of no other prompt
    if (examples.length && !examples.includes(this.state.example)) this.state.example = examples[0];
    this.say(examples, matching, note);
    byId('browser').classList.toggle('many', this.state.views.length > 2);
    drawLegend(this);
    this.tints = legendTints();
    this.list.show(examples);
    this.list.reveal();
    this.draw();
  }

  // Why another prompt is shown than a link names.
  noteOfLink(examples) {
    const {linked} = this.state;
    if (!linked || examples.includes(linked.example)) return '';
    const why = linked.example < 0 ? 'is not in this page' : 'does not pass the filters';
    return `The linked prompt “${visible(linked.id, false)}” ${why}. `;
  }

  say(examples, matching, note) {
    const all = this.shared.columns.ids.length;
    const tokens = this.state.limit === null ? '' : `; ${counted(matching, 'token')} in them match the filter`;
    const of = examples.length === all ? '' : ` of ${all.toLocaleString('en')}`;
    byId('browser-found').textContent = `${note}${counted(examples.length, 'prompt')}${of}${tokens}`;
  }

  open(example) {
    this.state.example = example;
    this.state.token = null;
    this.list.draw();
    this.list.reveal();
    this.draw();
  }

  // Draws the chosen example.
  draw() {
    const focused = this.focused();
    hideCard();
    const {example} = this.state;
    const {ids, prompts} = this.shared.columns;
    const none = this.list.examples.length === 0;
    byId('browser-example').hidden = none;
    byId('browser-none').hidden = !none;
    this.remember();
    if (none) return;
    byId('browser-id').textContent = visible(ids[example], false);
    byId('browser-prompt').textContent = visible(prompts[example], this.state.marks);
    const panes = this.shown().map((view) => responsePane(this, view, example));
    byId('browser-panes').replaceChildren(...panes);
    this.boxOf(focused)?.focus({preventScroll: true});
    if (this.state.token) this.pin(this.state.token.view, this.state.token.place);
  }

  // Keeps the state in the address. Where the page is not yet asked for an example, its address stays as it is. Only
  // every now and then, since browsers refuse hundreds of changes in some seconds, as of a key that is held.
  remember() {
    const hash = hashOf(this.state, this.shared);
    byId('browser-link').setAttribute('href', hash);
    clearTimeout(this.remembering);
    if (this.touched) this.remembering = setTimeout(() => history.replaceState(null, '', hash), 200);
  }

  pin(name, place) {
    const box = this.boxOf(name);
    const token = box?.children[place];
    this.unmark();
    this.state.token = null;
    if (!token) return;
    this.state.token = {view: name, place};
    token.id = 'browser-token';
    token.setAttribute('aria-selected', 'true');
    token.setAttribute('aria-describedby', 'browser-card-head browser-card-facts');
    box.setAttribute('aria-activedescendant', token.id);
    token.scrollIntoView({block: 'nearest', inline: 'nearest'});
    showCard(this, this.views.get(name), this.rowOf(name, place), token, true);
    this.remember();
  }

  unpin() {
    this.boxOf(this.focused())?.focus();
    this.unmark();
    this.state.token = null;
    hideCard();
    this.remember();
  }

  unmark() {
    const token = byId('browser-token');
    token?.removeAttribute('aria-selected');
    token?.removeAttribute('aria-describedby');
    token?.parentElement.removeAttribute('aria-activedescendant');
    token?.removeAttribute('id');
  }

  // The view whose tokens have the focus, or whose token's card has it: both are about to go.
  focused() {
    const active = document.activeElement;
    const inCard = byId('browser-card').contains(active);
    return (inCard ? byId('browser-token') : active)?.closest('.tokens')?.dataset.view;
  }

  boxOf(name) {
    return [...byId('browser-panes').querySelectorAll('.tokens')].find((box) => box.dataset.view === name);
  }

  rowOf(name, place) {
    return this.views.get(name).rows(this.state.example)[0] + place;
  }

  // The responses to a prompt as strips of their tokens' colours, one a run.
  strips(canvas, example) {
    const measure = measureOf(this.state.by);
    const context = canvas.getContext('2d');
    this.shown().forEach((view, i) => {
      const [first, last] = view.rows(example);
      const column = values(view, measure);
      const width = canvas.width / Math.max(1, last - first);
      for (let row = first; row < last; row++) {
        context.fillStyle = this.tints[step(measure, column[row])];
        context.fillRect((row - first) * width, STRIP * i, Math.max(1, width), STRIP - 1);
      }
    });
  }
}

// The colours of the legend as the page's style has them.
function legendTints() {
  return [...byId('browser-legend').querySelectorAll('.t')].map((sample) => getComputedStyle(sample).borderBottomColor);
}
