// Where a latent fires in the scanned corpus at one layer.

import { address, get } from "../api.js";
import { fill, h } from "../dom.js";
import { number, percent } from "../format.js";
import { strip } from "../tokens.js";
import { named } from "./named.js";
import { Slot } from "./slot.js";

const SHOWN = 8;
const AROUND = 12;

export class LayerExamples {
  constructor(page) {
    this.page = page;
    this.body = h("div", {});
    this.node = h("section", { "aria-label": "Examples at the layer" }, this.body);
    this.slot = new Slot(this.body);
  }

  draw(layer, latent) {
    if (latent === null) return fill(this.body);
    if (layer.key === null) return fill(this.body, this.title(layer, latent), h("p", { class: "muted small" }, "This SAE was not scanned here, so no examples are kept: run ", h("code", { class: "mono" }, "monoseme scan"), "."));
    const asked = get(address.latent(this.page.run, layer.key, latent), { signal: this.page.signal });
    return this.slot.show(asked, (detail) => fill(this.body, this.title(layer, latent), this.list(detail)));
  }

  title(layer, latent) {
    return h("div", { class: "head" }, h("h2", {}, "Examples of latent ", named(this.page, layer.key, latent), ` at ${layer.site}`));
  }

  list(detail) {
    if (detail.n_active === 0) return h("p", { class: "muted small" }, detail.why_missing ?? "It never fired on the scanned text at this layer.");
    const examples = detail.groups.flatMap((group) => group.examples).slice(0, SHOWN);
    const line = (example) => h("li", { class: "layer-example" }, h("span", { class: "num muted small" }, number(example.values[example.peak], 3)), strip(example, { top: detail.max, around: AROUND }));
    return [h("p", { class: "muted small" }, `Density ${percent(detail.density)}, maximum ${number(detail.max, 3)} in the scanned corpus.`), h("ol", { class: "panel panel--flush layer-examples" }, examples.map(line))];
  }
}
