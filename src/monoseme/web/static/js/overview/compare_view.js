// Two SAEs against each other: every metric with the interval of its difference, and the latents that they share.

import { get } from "../api.js";
import { fill, h } from "../dom.js";
import { term } from "../float.js";
import { betterCell, explain, folded, grouped, interval, measuredAs, missing, titleOf, told } from "../metrics.js";
import { overlap } from "./overlap.js";

export function compareView(run, { signal, state, runs }) {
  const names = runs.flatMap((each) => each.saes.map((sae) => ({ run: each.id, sae, name: `${each.id}:${sae}` })));
  const known = (name) => names.some((each) => each.name === name);
  const own = names.filter((each) => each.run === run.id);
  if (names.length < 2) return h("div", { class: "notice" }, h("h2", {}, "Only one SAE"), h("p", {}, "Serve a run with several, or several runs, to hold them against each other."));
  const chosen = {
    a: known(state.query.a) ? state.query.a : own[0]?.name ?? names[0].name,
    b: known(state.query.b) ? state.query.b : (own[1] ?? names.find((each) => each.name !== own[0]?.name)).name,
  };
  const place = h("div", { class: "stack" });
  const draw = () => fill(place, metrics(chosen, { signal, state }), overlap(chosen, { signal, state }));
  const pick = (side, name) => {
    chosen[side] = name;
    state.change({ ...chosen, from: null });
    draw();
  };
  const swap = h("button", { class: "button", type: "button", onclick: () => (([chosen.a, chosen.b] = [chosen.b, chosen.a]), pick("a", chosen.a), redrawn()) }, "Swap");
  const selects = ["a", "b"].map((side) => [side, select(side, names, runs, (name) => pick(side, name))]);
  const redrawn = () => selects.forEach(([side, node]) => (node.value = chosen[side]));
  redrawn();
  draw();
  return h("div", { class: "stack", vars: { "--gap": "22px" } }, h("div", { class: "compare__picks" }, labelled("First", selects[0][1]), swap, labelled("Second", selects[1][1])), place);
}

function labelled(title, node) {
  return h("label", { class: "label" }, title, node);
}

function select(side, names, runs, pick) {
  const options = (run) => names.filter((each) => each.run === run.id).map((each) => h("option", { value: each.name }, runs.length > 1 ? `${run.name} / ${each.sae}` : each.sae));
  return h("select", { class: "field", onchange: (event) => pick(event.target.value), data: { side } }, runs.length > 1 ? runs.map((run) => h("optgroup", { label: run.name }, options(run))) : options(runs[0]));
}

/** The table comes when it is answered. */
function metrics({ a, b }, { signal, state }) {
  const holder = h("div", { class: "panel panel--flush", "aria-busy": "true" });
  const only = h("input", { type: "checkbox", checked: state.query.clear === "1", onchange: () => (state.change({ clear: only.checked ? "1" : null }), draw()) });
  let answer = null;
  const draw = () => answer && fill(holder, table(answer, only.checked));
  get("/compare", { query: { a, b }, signal }).then(
    (found) => ((answer = found), holder.removeAttribute("aria-busy"), draw()),
    (error) => error.name !== "AbortError" && fill(holder, h("p", { class: "empty", role: "alert" }, error.message)),
  );
  const note = "Second less first, with its 95 % interval; bold on the side that is better by more than that. The errors count as independent, which on the same documents makes intervals rather too wide.";
  return h("section", {}, h("div", { class: "head" }, h("h2", {}, term("Metrics", note)), h("span", { class: "muted small" }, "difference [95 % interval]"), h("label", { class: "small head__end compare__only" }, only, " Clear differences only")), holder);
}

function table({ a, b, metrics: all }, onlyClear) {
  const shown = onlyClear ? all.filter((pair) => pair.favours !== "neither") : all;
  if (!shown.length) return h("p", { class: "empty" }, onlyClear ? "No metric differs by more than its interval." : "Nothing was measured on either.");
  const name = (side) => (a.run === b.run ? side.sae : `${side.run} / ${side.sae}`);
  const head = () => h("tr", {}, h("th", { scope: "col" }, "Metric"), [a, b].map((side) => h("th", { scope: "col", class: "num" }, name(side), measuredAs(side))), h("th", { scope: "col", class: "num" }, "Difference"), h("th", { scope: "col", class: "metrics__better" }, "Better"));
  const groups = grouped(shown);
  const body = (title) => h("tbody", {}, h("tr", { class: "metrics__group" }, h("th", { scope: "colgroup", colspan: 5 }, title)), groups.get(title).map(row));
  return folded(groups, (titles) => h("table", { class: "metrics" }, h("thead", {}, head()), titles.map(body)));
}

function row(pair) {
  const known = pair.a ?? pair.b;
  return h(
    "tr",
    {},
    h("th", { scope: "row", class: "metrics__name" }, term(titleOf(pair.name), explain({ ...known, definition: pair.definition })), pair.warning && h("span", { class: "muted small" }, ` (${pair.warning})`)),
    ["a", "b"].map((side) => h("td", { class: "num" }, value(pair[side], pair.favours === side))),
    h("td", { class: "num" }, difference(pair, known)),
    betterCell(pair.better),
  );
}

function value(metric, isBetter) {
  if (!metric) return h("span", { class: "muted" }, "–");
  if (metric.value === null) return missing(metric.why_missing);
  const shown = told(metric).value;
  return h("span", { data: { tip: interval(metric) ? `95 % interval: ${interval(metric)}` : shown } }, isBetter ? h("b", {}, shown, h("span", { class: "sr-only" }, " (better)")) : shown);
}

function difference(pair, known) {
  if (pair.difference === null) return h("span", { class: "muted" }, "–");
  const as = (number) => told({ ...known, value: number, standard_error: pair.high === null ? null : Math.max((pair.high - pair.low) / 3.92, 0) || null }).value;
  const sign = pair.difference > 0 ? "+" : "";
  return [`${sign}${as(pair.difference)}`, h("span", { class: "error-bar" }, pair.low === null ? "" : ` [${as(pair.low)}, ${as(pair.high)}]`)];
}
