// What the model expects next at one position: as it is, with the reconstruction in place at a layer, and steered there, side by side.

import { address, get } from "../api.js";
import { fill, h } from "../dom.js";
import { term } from "../float.js";
import { number } from "../format.js";
import { visible } from "../tokens.js";
import { numberField, picker, slider } from "./controls.js";
import { named } from "./named.js";
import { nextTokens } from "./next_tokens.js";
import { Slot } from "./slot.js";
import { FACTOR } from "./state.js";

const UNITS = { raw: "raw", max: "its maximum", norm: "residual's norm" };
/** Until the server has said what it steers with. */
const USUAL = [{ name: "additive", units: ["raw"] }];

export class LogitsView {
  constructor(page) {
    this.page = page;
    this.controls = h("div", { class: "panel prompt-controls" });
    this.body = h("div", { class: "logits-row" });
    this.node = h("div", { class: "stack", vars: { "--gap": "18px" } }, this.controls, this.body);
    this.slot = new Slot(this.body);
    this.methods = USUAL;
  }

  async draw() {
    fill(this.controls, this.controlList());
    this.askMethods();
    await this.slot.show(this.page.ask("/logits", this.question()), (answer) => fill(this.body, this.columns(answer)));
  }

  /** The methods that this server steers latents with; where it cannot say, the usual one stays. */
  async askMethods() {
    if (this.methods !== USUAL) return;
    try {
      const { methods } = await get(`${address.run(this.page.run)}/steer`, { signal: this.page.signal });
      this.methods = methods.filter((method) => method.needs_latents);
      fill(this.controls, this.controlList());
    } catch (error) {
      if (error.name !== "AbortError" && !error.status) throw error;
    }
  }

  question() {
    const { page } = this;
    const { latent, factor, method, unit } = page.state;
    const steered = latent === null || factor === 0 ? {} : { latent, strength: factor, method, unit };
    return { site: page.sites()[page.layer(page.state)], position: page.position(page.state), ...steered };
  }

  controlList() {
    const { page } = this;
    const { state } = page;
    const sites = page.sites();
    const units = this.methods.find((method) => method.name === state.method)?.units ?? ["raw"];
    return [
      picker("Layer", sites.map((site, i) => [i, site]), page.layer(state), (layer) => page.choose({ layer: Number(layer) })),
      picker("Position", page.positions(), page.position(state), (at) => page.choose({ chosen: [Number(at)] })),
      numberField("Latent", state.latent, (latent) => page.choose({ latent }), { hint: "none" }),
      slider("Factor", FACTOR, state.factor, { choose: (factor) => page.choose({ factor }) }),
      picker("In units of", units.map((unit) => [unit, UNITS[unit] ?? unit]), state.unit, (unit) => page.choose({ unit })),
      picker("Method", this.methods.map(({ name }) => [name, name.replaceAll("_", " ")]), state.method, (method) => page.choose({ method })),
    ];
  }

  columns(answer) {
    const { page } = this;
    const after = h("span", { class: "chip" }, visible(answer.token.text));
    const steered = answer.steered ? [h("p", { class: "muted small" }, this.how(answer)), nextTokens(answer.steered)] : h("p", { class: "muted small" }, this.whyNot(answer));
    return [
      column("Input", h("p", { class: "muted small" }, "The model as it is, after ", after, "."), nextTokens(answer.input)),
      column("Reconstruction", h("p", { class: "muted small" }, `The reconstruction of ${page.reading.views.name} in place at ${answer.site}.`), nextTokens(answer.reconstruction)),
      column("Steered", steered),
    ];
  }

  how({ site, maximum }) {
    const { latent, factor, unit } = this.page.state;
    const share = unit === "raw" && maximum ? `, ${number(factor / maximum, 3)} times its maximum in the scanned corpus` : "";
    return ["Latent ", named(this.page, this.page.keyAt(site), latent), ` at ${site}, ${number(factor, 3)} ${unit === "raw" ? "raw" : `× ${UNITS[unit]}`}${share}.`];
  }

  whyNot(answer) {
    if (this.page.state.latent === null) return "Choose a latent, and a factor other than 0.";
    if (this.page.state.factor === 0) return ["Set a ", term("factor", "The latent's decoder direction, times this, is added at every position (method additive)."), " other than 0."];
    return answer.why_not_steered;
  }
}

function column(title, ...content) {
  return h("section", { class: "panel", "aria-label": title }, h("h2", {}, title), content);
}
