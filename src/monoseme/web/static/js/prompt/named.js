// How the prompt page names a latent: its number, what it seems to mean, and what can be done with it.

import { address } from "../api.js";
import { latentLink } from "../card.js";
import { h } from "../dom.js";
import { plainly } from "../tokens.js";

/** A link with the latent's card where it was scanned under `key`; else the number alone. */
export function named(page, key, index, text = index) {
  return key === null ? h("b", {}, text) : latentLink(page.run, key, index, text);
}

/** An explanation, which a model may have written: signs for what would not be seen, and a direction of its own. */
export function said(explanation) {
  return h("bdi", {}, plainly(explanation));
}

/** The latent that shades the text; `site` or `part` where that must be told. */
export function shadedBy(page, { key, latent, site = null, part = null, explanation, fires }) {
  const { name } = page.reading.views;
  const steered = site === null ? (key ?? name) : `${name}@${site}`;
  return [
    h("span", {}, "Shaded by ", named(page, key, latent, `latent ${latent}`), site !== null && ` at ${site}`, part !== null && ` (${part})`, explanation && [": ", said(explanation)], !fires && " (does not fire here)"),
    h("a", { class: "nowrap", href: address.steerWith(page.run, steered, latent) }, "Steer with it"),
    h("button", { class: "button button--plain", type: "button", onclick: () => page.choose({ latent: null, part: null }) }, "clear"),
  ];
}
