// Reads out the lines of a figure at the place under the pointer, or from place to place along the arrow keys.
// What the lines are comes from report/readings.py.

/** What share of an axis's length lies before a value. */
function alongAxis({ limits: [low, high], log }, value) {
  return log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}

/** The places of the x axis where a line that is shown has a value, from left to right. */
function places(panel, hidden) {
  const shown = panel.lines.filter((line) => !hidden.has(line.run));
  const known = shown.flatMap(({ x, y }) => x.filter((place, index) => place !== null && y[index] !== null));
  return [...new Set(known)].sort((a, b) => alongAxis(panel.x, a) - alongAxis(panel.x, b));
}

/** The one of the places that is nearest to a share of the axis's length. */
function nearest(panel, share, hidden) {
  const away = (place) => Math.abs(alongAxis(panel.x, place) - share);
  return places(panel, hidden).reduce((best, place) => (away(place) < away(best) ? place : best));
}

/** All lines that are shown and have a value at one place, as one text. */
function reading({ x, y, lines }, place, hidden) {
  const told = lines
    .filter((line) => !hidden.has(line.run))
    .map((line) => [line.name, line.y[line.x.indexOf(place)] ?? null])
    .filter(([, value]) => value !== null);
  const values = told.map(([name, value]) => `${name} ${value}`).join('; ');
  return `${x.name}: ${x.names[place] ?? place}. ${y.name}: ${values}.`;
}

/** Whether the panel holds a point of its figure (shares, from below). */
function holds({ box: [left, bottom, width, height] }, x, y) {
  return x >= left && x <= left + width && y >= bottom && y <= bottom + height;
}

/** A figure with lines: where it is read, and which runs it hides. */
class Readable {
  constructor(figure, number) {
    this.box = figure.querySelector('.wide, .panels');
    this.panels = [...figure.querySelectorAll('svg[data-plot]')].flatMap((svg) =>
      JSON.parse(svg.dataset.plot).map((panel) => ({ svg, panel })));
    this.at = null;
    this.hidden = new Set();
    const across = this.panels.length > 1 ? ' and from panel to panel with ↑ ↓' : '';
    this.hint = `Point at lines to read them, or step along them with ← →${across}.`;
    this.output = element('p', { class: 'reading', id: `reading-${number}`, 'aria-live': 'polite' }, this.hint);
    figure.querySelector('figcaption').before(this.output);
    this.box.tabIndex = 0;
    this.box.setAttribute('aria-describedby', this.output.id);
    this.box.addEventListener('keydown', (event) => this.step(event));
    for (const svg of figure.querySelectorAll('svg[data-plot]')) {
      svg.addEventListener('pointermove', (event) => this.point(svg, event));
      svg.addEventListener('pointerdown', (event) => this.point(svg, event));
    }
    const runs = [...new Set(this.panels.flatMap(({ panel }) => panel.lines.map((line) => line.run)))].filter(Boolean);
    if (runs.length > 1) this.box.before(this.choice(figure, runs));
  }

  point(svg, { clientX, clientY }) {
    const frame = svg.getBoundingClientRect();
    const [x, y] = [(clientX - frame.left) / frame.width, 1 - (clientY - frame.top) / frame.height];
    const index = this.panels.findIndex((each) => each.svg === svg && holds(each.panel, x, y));
    if (index < 0) return;
    const { panel } = this.panels[index];
    const share = (x - panel.box[0]) / panel.box[2];
    if (places(panel, this.hidden).length) this.show(index, nearest(panel, share, this.hidden));
  }

  step(event) {
    const along = { ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? 0;
    const across = (this.panels.length > 1 && { ArrowUp: -1, ArrowDown: 1 }[event.key]) || 0;
    if (!(along || across) || event.ctrlKey || event.altKey || event.metaKey || event.target !== this.box) return;
    const index = Math.min(Math.max((this.at?.index ?? 0) + across, 0), this.panels.length - 1);
    const { svg, panel } = this.panels[index];
    const all = places(panel, this.hidden);
    if (all.length === 0) return;
    event.preventDefault();
    const before = this.at && alongAxis(this.panels[this.at.index].panel.x, this.at.place);
    const now = this.at ? all.indexOf(nearest(panel, before, this.hidden)) + along : 0;
    this.show(index, all[Math.min(Math.max(now, 0), all.length - 1)]);
    const place = this.mark.getBoundingClientRect().left - svg.getBoundingClientRect().left;
    this.box.scrollLeft = place - this.box.clientWidth / 2;
  }

  /** Says what the lines are at a place of a panel, and draws where that is. */
  show(index, place) {
    const { svg, panel } = this.panels[index];
    const [left, bottom, width, height] = panel.box;
    this.at = { index, place };
    this.output.textContent = reading(panel, place, this.hidden);
    this.mark?.remove();
    this.mark = document.createElementNS(svg.namespaceURI, 'line');
    const x = left + alongAxis(panel.x, place) * width;
    const ends = { x1: x, x2: x, y1: 1 - bottom - height, y2: 1 - bottom };
    for (const [name, share] of Object.entries(ends)) this.mark.setAttribute(name, `${100 * share}%`);
    this.mark.setAttribute('class', 'here');
    svg.append(this.mark);
  }

  /** Says the place anew when other runs are shown; nothing where none of them has a value there. */
  update() {
    if (!this.at) return;
    const { index, place } = this.at;
    if (places(this.panels[index].panel, this.hidden).includes(place)) {
      this.show(index, place);
      return;
    }
    this.at = null;
    this.mark.remove();
    this.output.textContent = this.hint;
  }

  /** A box to tick for each run. */
  choice(figure, runs) {
    const ticks = runs.map((run) => {
      const tick = element('input', { type: 'checkbox', checked: true });
      tick.addEventListener('change', () => {
        this.hidden[tick.checked ? 'delete' : 'add'](run);
        for (const drawn of figure.querySelectorAll('[data-run]')) {
          if (drawn.dataset.run === run) drawn.classList.toggle('hidden', !tick.checked);
        }
        this.update();
      });
      return element('label', { class: 'tick' }, tick, ` ${run}`);
    });
    return element('fieldset', { class: 'runs' }, element('legend', {}, 'Runs shown'), ...ticks);
  }
}

[...document.querySelectorAll('figure')].filter((figure) => figure.querySelector('svg[data-plot]'))
  .forEach((figure, number) => new Readable(figure, number));
