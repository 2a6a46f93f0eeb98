// What the tokens are shaded by: one latent, or where none is chosen, how close any comes to its own maximum.

import { h } from "../dom.js";
import { shadedBy } from "./named.js";

const COMMON = 0.1;

export function shadingOf(page, { latent }) {
  return latent === null ? byCloseness(page) : byLatent(page, latent);
}

function byLatent(page, latent) {
  const { tokens, latents, views } = page.reading;
  const known = latents.find((item) => item.index === latent);
  const values = tokens.map((item) => item.firings.find((firing) => firing.latent === latent)?.value ?? 0);
  const site = views.layers.length ? views.site : null;
  const caption = shadedBy(page, { key: views.key, latent, site, explanation: known?.explanation, fires: known !== undefined });
  return { values, top: largest(values), peak: known?.peak ?? null, caption };
}

/** The largest size among values, at least a little above 0, to divide by. */
export function largest(values) {
  return values.reduce((most, value) => Math.max(most, Math.abs(value ?? 0)), 1e-9);
}

function byCloseness(page) {
  const known = new Map(page.reading.latents.map((latent) => [latent.index, latent]));
  const loads = page.reading.tokens.map((item) => Math.max(0, ...item.firings.map((firing) => closeness(firing, known.get(firing.latent)))));
  return {
    // Squared, because most tokens bring some latent halfway to its maximum.
    values: loads.map((load) => load ** 2),
    top: 1,
    tell: (i) => (loads[i] > 0 ? `${Math.round(loads[i] * 100)} % of a latent's maximum` : ""),
    caption: h("span", {}, "Shaded by how close any latent comes to its own maximum. Choose a token to see what fires on it, or a latent to shade the text by it."),
  };
}

/** A firing over the latent's largest in the corpus; 0 for one that fires everywhere or was never scanned. */
function closeness({ value }, latent) {
  if (!latent?.share_of_max || latent.density > COMMON) return 0;
  return (value / latent.max) * latent.share_of_max;
}
