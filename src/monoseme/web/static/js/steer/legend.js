// By which latent the texts are shaded, and what a full shade means.

import { fill, h } from "../dom.js";
import { activation } from "../format.js";
import { term } from "../float.js";
import { plainly } from "../tokens.js";
import { nameOf, watchedBy } from "./state.js";

const SEEN = "Values are what the model itself has at the SAE's site: steering at earlier sites and on earlier tokens shows in them, what is added at the same place does not.";

export class Legend {
  constructor({ facts, change }) {
    Object.assign(this, { facts, change });
    this.node = h("div", { class: "steer-legend small", role: "group", "aria-label": "Shade the texts by" });
  }

  draw(state, shading) {
    const items = watchedBy(state);
    const choices = items.map((item) => this.choice(item, shading.name));
    const scale = h("span", { class: "steer-legend__scale" }, "0 ", h("span", { class: "legend__ramp", "aria-hidden": "true" }), ` ${activation(shading.top)}`, h("span", { class: "muted" }, shading.isMaximum ? " its maximum" : " the largest here"));
    fill(this.node, items.length ? [h("span", { class: "muted" }, term("Shaded by", SEEN)), choices, shading.top > 0 && scale] : h("span", { class: "muted" }, "Add a latent to see it on each token."));
  }

  choice(item, chosen) {
    const name = nameOf(item);
    return h("button", { type: "button", class: "steer-legend__pick", "aria-pressed": String(name === chosen), data: { tip: plainly(this.facts.of(item)?.explanation ?? name) }, onclick: () => this.change({ colour: name }, { redraws: false, keepsTexts: true }) }, name);
  }
}

/** The latent to shade by: the chosen one, or the first. The scale ends at its maximum; without one, at the largest value there is. */
export function shadingOf(state, facts, writings) {
  const items = watchedBy(state);
  const item = items.find((other) => nameOf(other) === state.colour) ?? items[0];
  if (!item) return { name: null, top: 0, isMaximum: false };
  const name = nameOf(item);
  const maximum = facts.of(item)?.max ?? null;
  return { name, top: maximum ?? Math.max(0, ...writings.map((writing) => writing.largest(name))), isMaximum: maximum !== null };
}
