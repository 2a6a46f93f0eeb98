// The order of the table as two controls, for screens that have no room for the heads of its columns.

import { fill, h } from "../dom.js";
import { words } from "../format.js";
import { orderOf, shownOf } from "./query.js";

const USUAL = [
  ["index", "Number"],
  ["explanation", "Explanation"],
  ["score_low", "Score, lower end"],
  ["score", "Score"],
  ["density", "Density"],
  ["max", "Max"],
];

export function sorter({ change }) {
  const pick = h("select", { class: "field", "aria-label": "Sort by", onchange: () => change({ sort: pick.value, order: "descending" }) });
  const way = h("button", { class: "button", type: "button", onclick: () => change({ sort: pick.value, order: way.dataset.next }) });
  return {
    node: h("div", { class: "sorter" }, pick, way),
    update(query, answer) {
      const { sort, order } = orderOf(query, { hasScores: !answer || Boolean(answer.score_name) });
      const search = answer?.search;
      const options = [...(search ? [["relevance", words(search.columns[0].name)]] : []), ...USUAL, ...shownOf(query).map((name) => [name, words(name)])];
      fill(pick, options.map(([value, title]) => h("option", { value, selected: value === sort }, title)));
      const falling = order === "descending";
      way.dataset.next = falling ? "ascending" : "descending";
      way.setAttribute("aria-label", falling ? "Largest first; press for smallest first" : "Smallest first; press for largest first");
      fill(way, falling ? "↓" : "↑");
    },
  };
}
