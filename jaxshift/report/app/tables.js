// Tables that are sorted by a click on the head of a column. Without this script they are plain tables.

/** The number that a cell begins with, as `wording.number` writes it; null for a dash or a text. */
function numberOf(text) {
  const found = /^[-−]?[\d,]*\.?\d+(e[-+]?\d+)?/i.exec(text);
  return found ? Number(found[0].replaceAll(',', '').replace('−', '-')) : null;
}

/** What a row is sorted by in a column: the first text of its cell, before any interval. */
function cellText(row, column) {
  const cell = row.cells[column];
  return (cell?.firstChild?.textContent ?? '').trim();
}

/** Sorts the rows of a table's body; cells without a value stay below in both directions. Returns the direction. */
function sortRows(table, column, before) {
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: cellText(row, column) }));
  const isEmpty = (item) => item.text === '' || item.text === '–';
  const filled = rows.filter((item) => !isEmpty(item));
  const areNumbers = filled.every((item) => numberOf(item.text) !== null);
  const compare = areNumbers
    ? (a, b) => numberOf(a.text) - numberOf(b.text)
    : (a, b) => a.text.localeCompare(b.text, undefined, { numeric: true });
  const descending = before ? before === 'ascending' : areNumbers;
  filled.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
  table.tBodies[0].append(...[...filled, ...rows.filter(isEmpty)].map((item) => item.row));
  return descending ? 'descending' : 'ascending';
}

/** Gives every head of a column a button; numbers begin with the greatest, texts with the first. */
function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = head.textContent;
    button.addEventListener('click', () => {
      const direction = sortRows(table, column, head.getAttribute('aria-sort'));
      heads.forEach((other) => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', direction);
    });
    head.replaceChildren(button);
  });
}

for (const table of document.querySelectorAll('table.sortable')) {
  if (table.tBodies[0].rows.length > 1) makeSortable(table);
}
