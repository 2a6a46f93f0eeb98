// A text through an SAE that has codes at several layers: the latents of a position over the layers, and what each layer looks like.

import { fill, h } from "../dom.js";
import { numberField, picker, slider } from "./controls.js";
import { LayerExamples } from "./layer_examples.js";
import { LayerTable } from "./layer_table.js";
import { layerHistograms, layerMetrics } from "./layer_panels.js";
import { shadedBy } from "./named.js";
import { largest } from "./shading.js";
import { Slot } from "./slot.js";
import { THRESHOLD } from "./state.js";

/** Long enough that a pointer on its way to somewhere else asks for nothing. */
const REST_MS = 80;

export class LayersView {
  constructor(page) {
    this.page = page;
    this.reading = null;
    this.controls = h("div", { class: "panel prompt-controls" });
    this.table = new LayerTable(page);
    this.examples = new LayerExamples(page);
    this.panels = h("div", { class: "stack", vars: { "--gap": "22px" } });
    this.body = h("div", { class: "stack", vars: { "--gap": "22px" } });
    this.node = h("div", {}, this.body);
    this.slot = new Slot(this.body);
  }

  draw() {
    if (this.reading) return this.redraw();
    return this.slot.show(this.page.ask("/layers", {}), (reading) => {
      this.reading = reading;
      this.found = byLatentAndLayer(reading.codes);
      const cut = reading.truncated && h("p", { class: "muted small" }, reading.truncated);
      fill(this.body, this.controls, cut, this.table.node, this.examples.node, this.panels);
      this.redraw();
      this.page.paint(this.page.state);
    });
  }

  redraw() {
    const { page, reading } = this;
    fill(this.controls, this.controlList());
    this.table.draw(page.position(page.state), page.state.threshold, reading);
    this.examples.draw(reading.layers[page.layer(page.state)], page.state.latent);
    fill(this.panels, this.histograms(page.state), layerMetrics(page, reading));
  }

  preview(changes) {
    if (!this.reading) return;
    clearTimeout(this.rest);
    const shown = { ...this.page.state, ...changes };
    this.rest = setTimeout(() => this.table.preview(this.page.position(shown), shown.threshold, this.reading), REST_MS);
    for (const figure of this.panels.querySelectorAll("[data-layer]")) figure.toggleAttribute("data-on", Number(figure.dataset.layer) === this.page.layer(shown));
  }

  histograms(shown) {
    const layer = this.page.layer(shown);
    const value = shown.latent === null ? null : this.found.get(`${layer} ${shown.latent}`)?.find(([at]) => at === this.page.position(shown))?.[1];
    return layerHistograms(this.page, this.reading, { layer, value: value ?? null });
  }

  /** The text shaded by the latent at the layer; without one, by the largest code of each token there. */
  shading(shown) {
    if (!this.reading) return null;
    const layer = this.page.layer(shown);
    const { site, key } = this.reading.layers[layer];
    const values = this.reading.tokens.map(() => 0);
    if (shown.latent === null) return { ...this.largestOf(layer, values), caption: h("span", {}, `Shaded by the largest code of each token at ${site}. Choose a latent to shade the text by it.`) };
    for (const [at, value] of this.found.get(`${layer} ${shown.latent}`) ?? []) values[at] = value;
    const known = this.reading.latents.find((latent) => latent.index === shown.latent);
    const top = largest(values);
    const caption = shadedBy(this.page, { key, latent: shown.latent, site, explanation: known?.explanation, fires: values.some(Boolean) });
    return { values, top, peak: values.some(Boolean) ? values.findIndex((value) => Math.abs(value) === top) : null, caption };
  }

  largestOf(layer, values) {
    const { codes } = this.reading;
    codes.layer.forEach((at, i) => {
      if (at === layer && Math.abs(codes.value[i]) > Math.abs(values[codes.position[i]])) values[codes.position[i]] = codes.value[i];
    });
    return { values, top: largest(values) };
  }

  controlList() {
    const { page, reading } = this;
    const { state } = page;
    return [
      picker("Layer", reading.layers.map((item, i) => [i, item.site]), page.layer(state), (layer) => page.choose({ layer: Number(layer) })),
      numberField("Latent", state.latent, (latent) => page.choose({ latent }), { hint: "none" }),
      picker("Position", page.positions(), page.position(state), (at) => page.choose({ chosen: [Number(at)] })),
      slider("Threshold, share of the maximum", THRESHOLD, state.threshold, { choose: (threshold) => page.choose({ threshold }), preview: (threshold) => this.preview({ threshold }) }),
    ];
  }
}

/** "layer latent" -> [[position, value]]. */
function byLatentAndLayer({ position, layer, latent, value }) {
  const found = new Map();
  position.forEach((at, i) => {
    const key = `${layer[i]} ${latent[i]}`;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push([at, value[i]]);
  });
  return found;
}
