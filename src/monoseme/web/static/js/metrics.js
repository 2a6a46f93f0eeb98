// The table of metrics: one row a metric, one column an SAE, the better value in bold; definitions on the name, reasons where a number is missing.

import { h, unseen } from "./dom.js";
import { term } from "./float.js";
import { Z_95, count, measured, words } from "./format.js";

/** The value and its error as text; fractions of latents or tokens as percentages. */
export function told(metric) {
  const asPercent = /_fraction$/.test(metric.name) && metric.value !== null;
  if (!asPercent) return measured(metric.value, metric.standard_error);
  const { value, error } = measured(metric.value * 100, metric.standard_error === null ? null : metric.standard_error * 100);
  return { value: `${value} %`, error };
}

const LAST = "As other tools define it";
// The first that fits; a metric of an evaluation that is not known here goes to "Other".
const GROUPS = [
  [LAST, /_as_|^ev_centered_error$/],
  ["Language model", /^(ce|kl)(_|$)/],
  ["Over time", /^(smoothness|tv_)|_(predicted|novel|both)$|^(fvu_bias|cross_term|cosine_(codes|reconstructions))$/],
  ["Over layers", /layer|^(rel_|exp_)?var_/],
  ["Reconstruction", /^(fvu|explained|mse|squared|l2_|cosine|relative)/],
  ["Sparsity", /^(l0|l1|dead|dense|density)/],
];

const TITLES = {
  ce_recovered: "CE recovered",
  explained_variance: "Variance explained",
  dead_fraction: "Dead latents",
  dense_fraction: "Dense latents",
  cosine: "Cosine",
  l2_error: "Mean ‖x − x̂‖",
  l2_norm_in: "Mean ‖x‖",
  l2_norm_out: "Mean ‖x̂‖",
  l2_ratio: "‖x̂‖ / ‖x‖",
  squared_error: "Mean ‖x − x̂‖²",
  kl: "KL(original ‖ spliced)",
  kl_reversed: "KL(spliced ‖ original)",
  ce_recovered_mean: "CE recovered, from the mean",
};

export function titleOf(name) {
  return TITLES[name] ?? words(name);
}

/** `marksBest` false where the columns are not rivals; `error` "interval" tells both ends of 95 % intervals in place of half their width. */
export function metricTable(saes, { marksBest = true, error = "standard" } = {}) {
  const rows = new Map();
  for (const sae of saes) for (const metric of sae.metrics) if (!rows.has(metric.name)) rows.set(metric.name, metric);
  const groups = grouped([...rows.values()]);
  const table = (names) =>
    h(
      "table",
      { class: "metrics" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Metric"), saes.map((sae) => h("th", { scope: "col", class: "num" }, sae.name, measuredAs(sae))), h("th", { scope: "col", class: "metrics__better" }, "Better"))),
      names.map((name) => [h("tbody", {}, h("tr", { class: "metrics__group" }, h("th", { scope: "colgroup", colspan: saes.length + 2 }, name)), groups.get(name).map((metric) => row(metric, saes, { marksBest, error })))]),
    );
  return folded(groups, table);
}

/** What stands below a name in the head of a table whose numbers are of more than it. */
export function measuredAs(sae) {
  return sae.measured_as && h("div", { class: "muted small" }, sae.measured_as);
}

/** A table of the groups, and one of what other tools define, which is folded away; `table(names)` draws those groups. */
export function folded(groups, table) {
  const own = [...groups.keys()].filter((name) => name !== LAST);
  const scroll = (names, label) => h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table(names));
  return [
    own.length > 0 && scroll(own, "Metrics"),
    groups.has(LAST) && h("details", { class: "more", open: !own.length }, h("summary", {}, `${LAST} (${groups.get(LAST).length})`), scroll([LAST], LAST)),
  ];
}

/** Metrics by what they are about, in the order of the table; the last group is of other tools. */
export function grouped(metrics) {
  const groups = new Map();
  for (const name of ["Language model", "Reconstruction", "Sparsity", "Over time", "Over layers", "Other", LAST]) groups.set(name, []);
  for (const metric of metrics) {
    const [name] = GROUPS.find(([, pattern]) => pattern.test(metric.name)) ?? ["Other"];
    groups.get(name).push(metric);
  }
  for (const [name, items] of groups) if (!items.length) groups.delete(name);
  return groups;
}

function row(metric, saes, { marksBest, error }) {
  const values = saes.map((sae) => sae.metrics.find((item) => item.name === metric.name));
  const best = marksBest ? bestOf(values, metric.better) : null;
  return h(
    "tr",
    {},
    h("th", { scope: "row", class: "metrics__name" }, term(titleOf(metric.name), explain(metric))),
    values.map((value) => h("td", { class: "num" }, cell(value, value && value === best, error))),
    betterCell(metric.better),
  );
}

export function explain(metric) {
  const facts = [metric.unit && `Unit: ${metric.unit}.`, metric.n !== null && `n = ${count(metric.n)}.`].filter(Boolean).join(" ");
  return [metric.definition, facts, metric.name].filter(Boolean).join("\n");
}

/** The cell that tells which way a metric is better. */
export function betterCell(better) {
  return h("td", { class: "metrics__better muted small" }, { higher: "higher ↑", lower: "lower ↓", neither: "" }[better]);
}

/** What stands for a number that is not there; its reason is told like a definition. */
export function missing(why) {
  return term("–", `Missing: ${why ?? "no reason given"}`);
}

/** The best value, only where the difference is more than the noise of both. */
function bestOf(values, better) {
  const known = values.filter((item) => item && item.value !== null);
  if (better === "neither" || known.length < 2) return null;
  const sorted = known.toSorted((a, b) => (better === "higher" ? b.value - a.value : a.value - b.value));
  const noise = Math.hypot(sorted[0].standard_error ?? 0, sorted[1].standard_error ?? 0);
  return Math.abs(sorted[0].value - sorted[1].value) > noise ? sorted[0] : null;
}

function cell(metric, isBest, error) {
  if (!metric) return h("span", { class: "muted" }, "–");
  if (metric.value === null) return missing(metric.why_missing);
  const { value, error: spread } = told(metric);
  const range = interval(metric);
  const shown = error === "interval" ? range && ` [${range}]` : spread && ` ± ${spread}`;
  return h("span", { data: range ? { tip: `95 % interval: ${range}` } : {} }, isBest ? h("b", {}, value, unseen(" (best)")) : value, h("span", { class: "error-bar" }, shown));
}

/** "0.84 to 0.86", 1.96 standard errors to each side; empty where the error is not known. */
export function interval(metric) {
  if (metric.value === null || !metric.standard_error) return "";
  const end = (sign) => told({ ...metric, value: metric.value + sign * Z_95 * metric.standard_error }).value;
  return `${end(-1)} to ${end(1)}`;
}
