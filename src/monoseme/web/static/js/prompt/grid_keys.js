// Arrow keys over the cells of a table: one of them is reached by Tab, the others from there.

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -Infinity], End: [0, Infinity], PageUp: [-10, 0], PageDown: [10, 0] };

/** `selector` finds the cells, which are inside rows of one length. */
export function gridKeys(table, selector) {
  const rows = [...table.querySelectorAll("tr")].map((row) => [...row.querySelectorAll(selector)]).filter((cells) => cells.length);
  if (rows.length) rows[0][0].tabIndex = 0;
  table.addEventListener("keydown", (event) => {
    const cell = event.target.closest(selector);
    const step = STEPS[event.key];
    if (!cell || !step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const at = rows.findIndex((cells) => cells.includes(cell));
    const row = rows[clamp(at + step[0], rows.length)];
    const next = row[clamp(rows[at].indexOf(cell) + step[1], row.length)];
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

function clamp(at, length) {
  return Math.min(Math.max(at, 0), length - 1);
}
