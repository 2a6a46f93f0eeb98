// Where else to look: latents near this one, and this one at the other sites or in the other parts of its SAE.

import { latentLink } from "../card.js";
import { h } from "../dom.js";
import { term } from "../float.js";
import { activation, number, percent } from "../format.js";
import { plainly } from "../tokens.js";
import { panel } from "./side.js";

/** The nearest latents, in each sense in which two can be near. */
export function related(latent, { run, sae }) {
  if (!latent.related.length) return latent.why_no_relations && panel("Related latents", h("p", { class: "muted small" }, `${latent.why_no_relations}.`));
  const row = (item) =>
    h(
      "li",
      {},
      latentLink(run, sae, item.index, item.index),
      h("span", { class: "related__words" }, item.explanation === null ? h("span", { class: "muted" }, "not explained") : plainly(item.explanation)),
      h("span", { class: "logits__value" }, number(item.value, 2)),
    );
  const group = (one) => h("div", {}, h("h4", {}, term(one.name, one.definition)), h("ol", { class: "related__list" }, one.latents.map(row)));
  return panel("Related latents", h("div", { class: "related" }, latent.related.map(group)));
}

/** The latent of this number in each scanned part and site of the SAE. */
export function layers(latent, { run, sae }) {
  if (!latent.layers.length) return null;
  const most = Math.max(...latent.layers.map((one) => one.density), 1e-12);
  const cell = (...content) => h("td", { class: "num" }, content);
  const row = (one) =>
    h(
      "tr",
      { "aria-current": one.key === sae ? "true" : null },
      h("th", { scope: "row" }, one.key === sae ? [h("b", {}, one.name), h("span", { class: "sr-only" }, " (this page)")] : latentLink(run, one.key, latent.index, one.name)),
      h("td", { class: "num layers__density", vars: { "--share": `${((one.density / most) * 100).toFixed(1)}%` } }, percent(one.density)),
      cell(activation(one.max)),
      cell(activation(one.mean)),
    );
  const head = (name, definition) => h("th", { scope: "col", class: "num" }, term(name, definition));
  return panel(
    term("Layers and parts", "The latent of the same number at each site, or in each part of the codes, of the same SAE."),
    h(
      "div",
      { class: "scroll" },
      h(
        "table",
        { class: "layers" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Where"), head("Density", "Share of scanned tokens on which it is not zero."), head("Max", "Largest activation there."), head("Mean", "Mean over the tokens on which it fires there."))),
        h("tbody", {}, latent.layers.map(row)),
      ),
    ),
  );
}
