// Reads out the lines of a figure at the place under the pointer; what they are comes from report/readings.py.

/** Where a share of an axis's length lies on it. */
function onAxis({ limits: [low, high], log }, share) {
  return log ? low * (high / low) ** share : low + share * (high - low);
}

/** Its inverse. */
function alongAxis({ limits: [low, high], log }, value) {
  return log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}

/** The number of the point of a line that lies nearest to a place of the x axis, of those that have a value. */
function nearestPoint(panel, line, share) {
  const distance = (index) => Math.abs(alongAxis(panel.x, line.x[index]) - share);
  const known = [...line.x.keys()].filter((index) => line.y[index] !== null && line.x[index] !== null);
  return known.reduce((best, index) => (best === null || distance(index) < distance(best) ? index : best), null);
}

/** The panel that holds a point of the figure (shares, from below), and how far along its x axis that is. */
function panelAt(panels, x, y) {
  const panel = panels.find(({ box: [left, bottom, width, height] }) =>
    x >= left && x <= left + width && y >= bottom && y <= bottom + height);
  return panel && { panel, share: (x - panel.box[0]) / panel.box[2] };
}

/** All lines at one place, as one text. */
function reading(panel, share) {
  const points = panel.lines.map((line) => [line, nearestPoint(panel, line, share)]).filter(([, index]) => index !== null);
  if (points.length === 0) return '';
  const [line, index] = points.reduce((best, other) => {
    const away = ([{ x }, at]) => Math.abs(alongAxis(panel.x, x[at]) - share);
    return away(other) < away(best) ? other : best;
  });
  const here = points.filter(([other, at]) => other.x[at] === line.x[index]);
  return `At ${line.x[index]}: ${here.map(([other, at]) => `${other.name} ${other.y[at]}`).join('; ')}.`;
}

function makeReadable(figure) {
  const output = document.createElement('p');
  output.className = 'reading';
  output.textContent = 'Point at lines to read them.';
  figure.querySelector('figcaption').before(output);
  for (const svg of figure.querySelectorAll('svg[data-plot]')) {
    const panels = JSON.parse(svg.dataset.plot);
    const show = (event) => {
      const frame = svg.getBoundingClientRect();
      const x = (event.clientX - frame.left) / frame.width;
      const found = panelAt(panels, x, 1 - (event.clientY - frame.top) / frame.height);
      if (found) output.textContent = reading(found.panel, found.share);
    };
    svg.addEventListener('pointermove', show);
    svg.addEventListener('pointerdown', show);
  }
}

for (const figure of document.querySelectorAll('figure')) {
  if (figure.querySelector('svg[data-plot]')) makeReadable(figure);
}
