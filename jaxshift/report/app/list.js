// The list of examples: only the rows in sight exist.

const ROW_HEIGHT = 66; // as in browser.css

class ExampleList {
  constructor(browser) {
    this.browser = browser;
    this.box = byId('browser-list');
    this.inner = this.box.firstElementChild;
    this.examples = [];
    this.box.addEventListener('scroll', () => this.draw());
    this.inner.addEventListener('click', (event) => {
      const row = event.target.closest('[data-place]');
      if (row) browser.open(this.examples[row.dataset.place]);
    });
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  show(examples) {
    this.examples = examples;
    this.inner.style.height = `${ROW_HEIGHT * examples.length}px`;
    this.draw();
  }

  place() {
    return this.examples.indexOf(this.browser.state.example);
  }

  // Opens the example so many places further on.
  move(by) {
    const place = Math.max(0, Math.min(this.examples.length - 1, this.place() + by));
    if (this.examples.length) this.browser.open(this.examples[place]);
  }

  reveal() {
    const top = ROW_HEIGHT * this.place();
    const {scrollTop, clientHeight} = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + ROW_HEIGHT > scrollTop + clientHeight) this.box.scrollTop = top + ROW_HEIGHT - clientHeight;
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW_HEIGHT) - 2);
    const last = Math.min(this.examples.length, first + Math.ceil(this.box.clientHeight / ROW_HEIGHT) + 4);
    const rows = [];
    for (let place = first; place < last; place++) rows.push(this.row(place));
    this.inner.replaceChildren(...rows);
    this.box.setAttribute('aria-activedescendant', this.inner.querySelector('[aria-selected=true]')?.id || '');
    rows.forEach((row, i) => this.browser.strips(row.querySelector('canvas'), this.examples[first + i]));
  }

  row(place) {
    const example = this.examples[place];
    const {ids, prompts} = this.browser.shared.columns;
    const chosen = example === this.browser.state.example;
    const line = visible(prompts[example] || ids[example], false).replaceAll('\n', ' ');
    const row = element(
      'div', {
        role: 'option', id: `browser-example-${place}`, class: 'example', 'data-place': place,
        'aria-selected': String(chosen), 'aria-setsize': this.examples.length, 'aria-posinset': place + 1,
      },
      element('span', {class: 'prompt-line', dir: 'auto'}, line),
      element('small', {}, noteOf(this.browser.shown(), example, this.browser.state)),
      element('canvas', {'aria-hidden': 'true', width: 240, height: STRIP * this.browser.state.views.length}),
    );
    row.style.top = `${ROW_HEIGHT * place}px`;
    row.lastElementChild.style.height = `${row.lastElementChild.height}px`;
    return row;
  }
}
