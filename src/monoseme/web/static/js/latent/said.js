// What is said of a latent, by whom, and how well it predicts the latent: each number with its interval and its controls.

import { h } from "../dom.js";
import { term } from "../float.js";
import { count, measured, number } from "../format.js";
import { plainly } from "../tokens.js";
import { judged } from "./judged.js";

/** The explainer that counts over firings of all strengths. */
const RULES = "offline";

/** The explanations, the newest first and large. */
export function explanations(latent, here, state, signal) {
  const [first, ...others] = latent.explanations;
  if (!first) return h("p", { class: "latent__words muted" }, latent.n_active === 0 ? "Never fired on the scanned text." : ["Not explained yet: run ", h("code", { class: "mono" }, "monoseme explain"), "."]);
  const one = (item, large) => explanation(item, { large, here, state, signal });
  return [one(first, true), others.length > 0 && h("details", { class: "fold", open: others.length < 2 || others.some((item) => item.scores.some((score) => score.part === state.judged)) }, h("summary", { class: "small" }, `${count(others.length)} older`), others.map((item) => one(item, false)))];
}

function explanation(item, { large, here, state, signal }) {
  const words = item.text === null ? h("span", { class: "muted" }, `Not explained: ${item.why_missing ?? "no reason given"}.`) : plainly(item.text);
  return h(
    "div",
    { class: "explained" },
    h("p", {}, h("span", { class: large ? "latent__words" : "explained__words" }, words), h("span", { class: "muted small explained__by" }, `by ${item.explainer}`)),
    large && item.explainer === RULES && item.text !== null && h("p", { class: "muted small" }, "A rule, counted over firings of all strengths; the strongest need not follow it."),
    item.text !== null && [...Map.groupBy(item.scores, (one) => one.part)].map(([part, scores]) => scored(part, scores, { here, state, signal })),
  );
}

/** What one scorer found: its first number with its controls, and on demand the others and each judgement. */
function scored(part, [first, ...others], { here, state, signal }) {
  const name = first.scorer.replaceAll("_", " ");
  const line = (...content) => h("div", { class: "scored" }, h("span", { class: "scored__by muted small" }, name), score(first), ...content);
  if (!others.length && !first.has_judgements) return line();
  const rest = h("div", { class: "scored__more", hidden: true }, others.length > 0 && h("p", { class: "scored" }, others.map(score)));
  const open = (now) => {
    rest.hidden = !now;
    button.setAttribute("aria-expanded", String(now));
    button.textContent = now ? "less" : "more";
    if (now && first.has_judgements && !rest.querySelector(".judged")) rest.append(judged(part, { here, state, signal }));
  };
  const press = () => {
    open(rest.hidden);
    state.choose({ judged: rest.hidden ? "" : part, told: "" });
  };
  const button = h("button", { type: "button", class: "linkish small", "aria-label": `More of ${name}`, onclick: press });
  open(state.judged === part);
  return [line(button), rest];
}

/** A score and, at its side, what an explanation without content would get. */
function score(item) {
  const { value, error } = item.standard_error ? measured(item.value, item.standard_error) : { value: number(item.value), error: "" };
  const missing = item.value === null && item.why_missing ? ` (${item.why_missing})` : "";
  const quiet = (...content) => h("span", { class: "error-bar" }, ...content);
  return h(
    "span",
    { class: "score" },
    term(item.name.replaceAll("_", " "), item.definition),
    " ",
    h("b", {}, value),
    interval(item) ? quiet(" ", interval(item)) : error && quiet(" ± ", term(error, "1.96 standard errors: a 95 % interval.")),
    missing,
    item.n !== null && quiet(` n=${count(item.n)}`),
    item.controls.map((control) => quiet(" · ", term(controlName(control, item), control.definition), ` ${number(control.value, 2)}`)),
  );
}

/** Its 95 % interval, where that was worked out and is not a point. */
function interval({ low, high }) {
  if (low === null || high === null || low === high) return null;
  return term(`[${number(low, 2)}, ${number(high, 2)}]`, "95 % interval, with documents as what varies.");
}

/** "balanced_accuracy_other" beside "balanced_accuracy" is "other". */
function controlName(control, item) {
  const name = control.name.startsWith(`${item.name}_`) ? control.name.slice(item.name.length + 1) : control.name;
  return name.replaceAll("_", " ");
}
