// A latent by its number, wherever the prompt page names one.

import { search } from "../api.js";
import { latentLink } from "../card.js";
import { h } from "../dom.js";

/** A link with the latent's card where it was scanned under `key`; else the number alone. */
export function named(page, key, index, text = index) {
  return key === null ? h("b", {}, text) : latentLink(page.run, key, index, text);
}

/** The latent that shades the text, and what can be done with it. */
export function shadedBy(page, { key, latent, where = "", explanation, fires }) {
  const steer = `/runs/${encodeURIComponent(page.run)}/steer${search({ l: `${page.reading.views.name}:${latent}:1max` })}`;
  return [
    h("span", {}, "Shaded by ", named(page, key, latent, `latent ${latent}`), where, explanation && `: ${explanation}`, !fires && " (does not fire here)"),
    h("a", { class: "nowrap", href: steer }, "Steer with it"),
    h("button", { class: "button button--plain", type: "button", onclick: () => page.choose({ latent: null, part: null }) }, "clear"),
  ];
}
