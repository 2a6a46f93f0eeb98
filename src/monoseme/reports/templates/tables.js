// Sorts a table by the column whose header is pressed; numbers by value, texts by locale, missing values last in both directions.
{
  const key = (row, i) => {
    const cell = row.cells[i];
    return cell.dataset.v === undefined ? cell.textContent : cell.dataset.v === "" ? null : Number(cell.dataset.v);
  };
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));

  const sort = (header) => {
    const body = header.closest("table").tBodies[0];
    const i = header.cellIndex;
    const down = header.getAttribute("aria-sort") === "ascending";
    const sign = down ? -1 : 1;
    const rows = [...body.rows].map((row) => [key(row, i), row]);
    rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
    body.append(...rows.map(([, row]) => row));
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
  };

  for (const button of document.querySelectorAll("table.sortable th button")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }
}
