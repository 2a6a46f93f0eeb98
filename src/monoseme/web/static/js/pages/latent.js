// One latent: what it seems to mean and how well that predicts it, where it fires, how strongly, and what it writes.

import { address, get } from "../api.js";
import { latentLink } from "../card.js";
import { chart } from "../chart.js";
import { fill, h, unseen } from "../dom.js";
import { term } from "../float.js";
import { activation, count, measured, number, percent, plural, rarity } from "../format.js";
import { line, strip, visible } from "../tokens.js";

const CONTEXTS = [
  ["short", "Short"],
  ["full", "Full"],
];

export async function latentPage({ params, query, signal, router }) {
  const here = address.latent(params.run, params.sae, params.index);
  const latent = await get(here, { signal });
  const context = query.context === "full" ? "full" : "short";
  const go = (index) => index !== null && router.go(address.latent(params.run, params.sae, index) + location.search, { keepScroll: scrollY < 160 });
  const random = async () => go((await get(`${address.sae(params.run, params.sae)}/random`, { signal })).index);
  const dead = latent.n_active === 0;
  return {
    title: `Latent ${latent.index} of ${latent.sae}`,
    section: "latents",
    keys: keys(latent, go, random),
    node: h(
      "article",
      { class: "stack", vars: { "--gap": "24px" } },
      header(latent, params, go, random),
      h(
        "div",
        { class: "latent" },
        h("div", { class: "latent__main" }, dead ? deadNotice(latent) : examples(latent, context, router)),
        h("aside", { class: "latent__side", "aria-label": "Numbers" }, facts(latent), !dead && histogram(latent, here, signal), logits(latent), !dead && related(latent, params), !dead && effects(latent)),
      ),
    ),
  };
}

function keys(latent, go, random) {
  const next = { run: () => go(latent.next), says: "next latent" };
  const back = { run: () => go(latent.previous), says: "previous latent" };
  return { j: next, ArrowRight: next, k: back, ArrowLeft: back, r: { run: random, says: "a random latent" } };
}

function header(latent, params, go, random) {
  const step = (index, title, key) => h("button", { class: "button", type: "button", disabled: index === null, onclick: () => go(index), "aria-keyshortcuts": key }, title);
  const [first, ...others] = latent.explanations;
  return h(
    "header",
    {},
    h(
      "div",
      { class: "head" },
      h("h1", { class: "latent__title" }, h("span", { class: "muted" }, "Latent "), latent.index, " ", h("span", { class: "badge" }, latent.sae), latent.n_active === 0 && [" ", h("span", { class: "badge" }, "dead")]),
      h("nav", { class: "head__end steps", "aria-label": "Other latents" }, step(latent.previous, "‹ Previous", "k"), step(latent.next, "Next ›", "j"), h("button", { class: "button", type: "button", onclick: random, "aria-keyshortcuts": "r" }, "Random")),
    ),
    first ? explanation(first, true) : h("p", { class: "latent__words muted" }, latent.n_active === 0 ? "Never fired on the scanned text." : "Not explained yet: run ", latent.n_active !== 0 && h("code", { class: "mono" }, "monoseme explain"), latent.n_active !== 0 && "."),
    others.map((item) => explanation(item, false)),
  );
}

function explanation(item, large) {
  return h("div", { class: "explained" }, h("p", { class: large ? "latent__words" : "lead" }, item.text ?? h("span", { class: "muted" }, `Not explained: ${item.why_missing ?? "no reason given"}.`)), h("p", { class: "explained__by" }, h("span", { class: "muted small" }, `by ${item.explainer}`)), item.text === null ? null : scorers(item.scores).map(scored));
}

/** The scores of each scorer. */
function scorers(scores) {
  return [...new Set(scores.map((item) => item.scorer))].map((name) => [name, scores.filter((item) => item.scorer === name)]);
}

function scored([name, scores]) {
  return h("p", { class: "explained__by" }, name && h("span", { class: "muted small" }, name.replaceAll("_", " ")), scores.map(score));
}

/** A score and, at its side, what an explanation without content would get. */
function score(item) {
  const { value, error } = item.standard_error === null ? { value: number(item.value), error: "" } : measured(item.value, item.standard_error);
  const missing = item.value === null && item.why_missing ? ` (${item.why_missing})` : "";
  return h(
    "span",
    { class: "score" },
    term(item.name.replaceAll("_", " "), item.definition),
    " ",
    h("b", {}, value),
    error && h("span", { class: "error-bar" }, ` ± ${error}`),
    missing,
    item.n !== null && h("span", { class: "error-bar" }, ` n=${count(item.n)}`),
    item.controls.map((control) => h("span", { class: "error-bar" }, " · ", term(control.name.replaceAll("_", " "), control.definition), ` ${number(control.value)}`)),
  );
}

function deadNotice(latent) {
  return h("div", { class: "notice" }, h("h2", {}, "This latent is dead here"), h("p", {}, `It was zero on every one of the ${count(latent.n_tokens)} scanned tokens, so there is nothing to show. It may still fire on other text; try some on the prompt page.`));
}

function facts(latent) {
  const row = (name, value, definition) => h("div", {}, h("dt", {}, term(name, definition)), h("dd", {}, value));
  return h(
    "dl",
    { class: "panel numbers" },
    row("Density", percent(latent.density), `Share of scanned tokens on which it is not zero: ${rarity(latent.density)}.`),
    row("Fired on", plural(latent.n_active, "token"), `Of ${count(latent.n_tokens)} scanned.`),
    latent.n_documents !== null && row("In", plural(latent.n_documents, "document"), "Documents with at least one firing."),
    row("Max", activation(latent.max), "Largest activation on the scanned text; the shading of tokens ends here."),
    row("Mean when active", activation(latent.mean), "Mean over the tokens on which it is not zero."),
    latent.n_near_duplicates ? row("Near-duplicates", count(latent.n_near_duplicates), "Firings that are not among the examples because a better one has nearly the same text.") : null,
  );
}

function histogram(latent, here, signal) {
  return h("section", { class: "panel" }, h("h3", {}, "Activations when it fires"), chart(`${here}/chart`, { label: `Histogram of ${plural(latent.n_active, "activation")} from 0 to ${activation(latent.max)}`, height: 210, signal }));
}

function logits(latent) {
  if (!latent.logits) return h("section", { class: "panel" }, h("h3", {}, "Direct effect on logits"), h("p", { class: "muted small" }, latent.why_no_logits ?? "Not computed."));
  const { top, bottom } = latent.logits;
  return h(
    "section",
    { class: "panel" },
    h("h3", {}, term("Direct effect on logits", "What one unit of this latent adds to the logit of each token through the final norm and the unembedding alone.")),
    tokenPair(["Raises", top, "logits--up"], ["Lowers", bottom, "logits--down"]),
  );
}

/** Two lists of tokens with a number each, side by side; bars share one scale. */
function tokenPair(...lists) {
  const largest = Math.max(...lists.flatMap(([, items]) => items.map((item) => Math.abs(item.value))), 1e-9);
  const one = ([title, items, className]) =>
    h(
      "div",
      {},
      h("h4", {}, title),
      h(
        "ol",
        { class: `logits ${className}` },
        items.map((item) => h("li", { vars: { "--share": `${((Math.abs(item.value) / largest) * 100).toFixed(1)}%` } }, h("span", { class: "logits__token mono", data: { tip: visible(item.token) } }, visible(item.token)), h("span", { class: "logits__value" }, number(item.value, 2)))),
      ),
    );
  return h("div", { class: "logits__pair" }, lists.map(one));
}

/** The nearest latents, in each sense in which two can be near. */
function related(latent, params) {
  if (!latent.related.length) return latent.why_no_relations && h("section", { class: "panel" }, h("h3", {}, "Related latents"), h("p", { class: "muted small" }, `${latent.why_no_relations}.`));
  const one = (group) =>
    h(
      "div",
      {},
      h("h4", {}, term(group.name, group.definition)),
      h("ol", { class: "related__list" }, group.latents.map((item) => h("li", {}, latentLink(params.run, params.sae, item.index, item.index), h("span", { class: "logits__value" }, number(item.value, 2))))),
    );
  return h("section", { class: "panel" }, h("h3", {}, "Related latents"), h("div", { class: "related" }, latent.related.map(one)));
}

/** What the model predicts less well without the latent. */
function effects(latent) {
  const found = latent.effects;
  if (found === null) return null;
  const title = h("h3", {}, term("Without this latent", "The latent alone is taken out at one firing token; what changes is the prediction of the token that follows."));
  if (found.loss_change === null) return h("section", { class: "panel" }, title, h("p", { class: "muted small" }, `${found.why_missing ?? "Not measured"}.`));
  const { value, error } = measured(found.loss_change, found.standard_error);
  return h(
    "section",
    { class: "panel" },
    title,
    h("p", { class: "small" }, term("Loss of the next token", "Mean change in nats; positive where the latent helps the model."), " ", h("b", {}, `${found.loss_change > 0 ? "+" : ""}${value}`), error && h("span", { class: "error-bar" }, ` ± ${error}`), h("span", { class: "muted" }, ` over ${plural(found.n, "firing")}`)),
    tokenPair(["Less likely", found.fallen, "logits--down"], ["Likelier", found.risen, "logits--up"]),
  );
}

function examples(latent, context, router) {
  const holder = h("div", { class: "stack", vars: { "--gap": "26px" } });
  const groups = latent.groups.filter((group) => group.examples.length);
  const draw = (size) => fill(holder, groups.map((group, i) => exampleGroup(group, latent, size, i)));
  const choose = (size) => {
    const url = new URL(location.href);
    if (size === "full") url.searchParams.set("context", "full");
    else url.searchParams.delete("context");
    router.note(url.pathname + url.search);
    for (const button of buttons.children) button.setAttribute("aria-pressed", String(button.dataset.size === size));
    draw(size);
  };
  const buttons = h(
    "div",
    { class: "segments", role: "group", "aria-label": "Length of examples" },
    CONTEXTS.map(([size, title]) => h("button", { type: "button", data: { size }, "aria-pressed": String(size === context), onclick: () => choose(size) }, title)),
  );
  draw(context);
  return [h("div", { class: "head" }, h("h2", {}, "Where it fires"), legend(latent), h("div", { class: "head__end" }, buttons)), groups.length ? holder : h("div", { class: "notice" }, h("p", {}, "No examples were kept for this latent."))];
}

function legend(latent) {
  return h("span", { class: "legend", "aria-hidden": "true" }, "0", h("span", { class: "legend__ramp" }), activation(latent.max));
}

function exampleGroup(group, latent, size, i) {
  const range = group.low !== null && group.high !== null ? ` ${activation(group.low)} to ${activation(group.high)}` : "";
  const rows = group.examples.map((example) => exampleRow(example, latent, size));
  const title = [group.name, range && h("span", { class: "muted small" }, range), h("span", { class: "muted small" }, plural(rows.length, "example"))];
  if (i === 0) return h("section", {}, h("h3", { class: "group" }, title), h("ol", { class: `examples examples--${size}` }, rows));
  return h("details", { class: "decile", open: true }, h("summary", { class: "group" }, title), h("ol", { class: `examples examples--${size}` }, rows));
}

function exampleRow(example, latent, size) {
  const value = example.values[example.peak];
  const where = [example.source, `document ${count(example.document)}, token ${count(example.position)}`].filter(Boolean).join(" · ");
  return h(
    "li",
    { class: "example" },
    h("span", { class: "example__value", data: { tip: where } }, unseen("peak "), activation(value)),
    size === "full" ? strip(example, { top: latent.max, breaks: true }) : line(example, { top: latent.max, before: 16, after: 14 }),
    size === "full" && h("span", { class: "example__source muted small" }, where),
  );
}
