// The example browser: what is chosen on the left and above, the responses on the right.

const STRIP = 5; // pixels of a strip in the list, with the gap below it

class Browser {
  constructor(shared) {
    this.shared = shared;
    this.abouts = shared.about.views;
    this.names = this.abouts.map(({run, context}) => (context === 'own' ? run : `${run}@${context}`));
    this.views = new Map(); // of those that were shown, because unpacking takes a moment
    this.state = stateOf(location.hash, shared, this.names);
    this.list = new ExampleList(this);
  }

  shown() {
    return this.state.views.map((name) => this.views.get(name));
  }

  // Unpacks the views to be shown.
  async unpack() {
    for (const name of this.state.views) {
      if (this.views.has(name)) continue;
      const number = this.names.indexOf(name);
      const {columns} = await island(`view-${number}`);
      this.views.set(name, new View(this.abouts[number], columns, this.shared));
    }
  }

  // Shows another choice of examples, runs or colours; in another order from its beginning.
  async change(changes) {
    Object.assign(this.state, changes, {token: null});
    if ('sort' in changes) this.state.example = null;
    await this.refresh();
  }

  async refresh() {
    await this.unpack();
    const {examples, matching} = choose(this.shared, this.shown(), this.state);
    if (examples.length && !examples.includes(this.state.example)) this.state.example = examples[0];
    this.say(examples, matching);
    drawLegend(this);
    this.tints = legendTints();
    this.list.show(examples);
    this.list.reveal();
    this.draw();
  }

  say(examples, matching) {
    const all = this.shared.columns.ids.length;
    const tokens = this.state.limit === null ? '' : `; ${counted(matching, 'token')} in them match the filter`;
    const of = examples.length === all ? '' : ` of ${all.toLocaleString('en')}`;
    byId('browser-found').textContent = `${counted(examples.length, 'prompt')}${of}${tokens}`;
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
    hideCard();
    const {example} = this.state;
    const {ids, prompts} = this.shared.columns;
    const none = this.list.examples.length === 0;
    byId('browser-example').hidden = none;
    byId('browser-none').hidden = !none;
    if (none) return;
    byId('browser-id').textContent = visible(ids[example], false);
    byId('browser-prompt').textContent = visible(prompts[example], this.state.marks);
    const panes = this.shown().map((view) => responsePane(this, view, example));
    byId('browser-panes').replaceChildren(...panes);
    this.remember();
    if (this.state.token) this.pin(this.state.token.view, this.state.token.place);
  }

  // Keeps the state in the address. Where the page is not yet asked for an example, its address stays as it is.
  remember() {
    const hash = hashOf(this.state, this.shared);
    byId('browser-link').setAttribute('href', hash);
    if (this.touched) history.replaceState(null, '', hash);
  }

  pin(name, place) {
    const box = this.boxOf(name);
    const token = box?.children[place];
    if (!token) return;
    this.unmark();
    this.state.token = {view: name, place};
    token.id = 'browser-token';
    token.setAttribute('aria-selected', 'true');
    box.setAttribute('aria-activedescendant', token.id);
    token.scrollIntoView({block: 'nearest', inline: 'nearest'});
    showCard(this, this.views.get(name), this.rowOf(name, place), token, true);
    this.remember();
  }

  unpin() {
    this.unmark();
    this.state.token = null;
    hideCard();
    this.remember();
  }

  unmark() {
    const token = byId('browser-token');
    token?.removeAttribute('aria-selected');
    token?.parentElement.removeAttribute('aria-activedescendant');
    token?.removeAttribute('id');
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
  return [...byId('browser-legend').querySelectorAll('.t')].map((sample) => {
    const style = getComputedStyle(sample);
    return style.getPropertyValue('--strip') || style.backgroundColor;
  });
}
