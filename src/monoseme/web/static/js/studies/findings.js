// What papers claim, and whether it held: a sign and a word for each verdict, the numbers behind it.

import { h } from "../dom.js";
import { plural } from "../format.js";
import { line } from "../prose.js";

const SIGNS = [
  [/^reproduced$/, "✓", "good"],
  [/^reproduced in/, "◐", "some"],
  [/^not reproduced/, "✕", "bad"],
  [/./, "–", "none"],
];

/** "2 of 3 claims reproduced", or nothing for a study without claims. */
export function tally({ n_findings: all, n_reproduced: held }) {
  return all ? `${held} of ${plural(all, "claim")} reproduced` : "";
}

export function findings(items) {
  return h("ul", { class: "findings" }, items.map(finding));
}

function finding({ claim, verdict, why_missing: why, comparisons }) {
  const [, sign, kind] = SIGNS.find(([pattern]) => pattern.test(verdict));
  const open = comparisons.length > 0 && comparisons.length <= 3;
  return h(
    "li",
    { class: "panel finding" },
    h("p", { class: `finding__verdict finding__verdict--${kind}` }, h("span", { "aria-hidden": "true" }, sign), " ", verdict),
    h("p", {}, line(claim)),
    why && h("p", { class: "muted small" }, line(why)),
    comparisons.length > 0 && h("details", { open }, h("summary", { class: "small" }, plural(comparisons.length, "comparison")), h("ul", { class: "finding__numbers small" }, comparisons.map(comparison))),
  );
}

function comparison({ held, numbers }) {
  return h("li", {}, h("span", { "aria-hidden": "true" }, held ? "✓ " : "✕ "), line(numbers), !held && h("span", { class: "muted" }, " (does not hold)"));
}
