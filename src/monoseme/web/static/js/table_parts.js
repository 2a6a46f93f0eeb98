// What tables share: heads that sort them, and the steps through their pages.

import { h } from "./dom.js";
import { count } from "./format.js";

/** The head of a column that sorts; `order` is "ascending", "descending" or null where the table is sorted by another. `name` keeps the focus. */
export function sortHead(title, { name, order, numeric = false, sort, props = {} }) {
  const arrow = order && h("span", { "aria-hidden": "true" }, order === "descending" ? " ↓" : " ↑");
  return h("th", { scope: "col", class: numeric ? "num" : null, "aria-sort": order, ...props }, h("button", { type: "button", class: "sort", data: { focus: `sort ${name}` }, onclick: sort }, title, arrow));
}

/** "Previous" and "Next" about the rows in sight; null where all fit on one page. */
export function pageSteps({ offset, shown, total, size }, go) {
  if (total <= size) return null;
  const step = (to, title) => h("button", { class: "button", type: "button", data: { focus: title }, disabled: to < 0 || to >= total, onclick: () => go(to) }, title);
  const before = offset > 0 ? Math.max(0, offset - size) : -1;
  return [step(before, "Previous"), h("span", { class: "muted small", role: "status" }, `${count(offset + 1)}–${count(offset + shown)} of ${count(total)}`), step(offset + size, "Next")];
}
