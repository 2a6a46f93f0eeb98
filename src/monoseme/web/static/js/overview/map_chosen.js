// The latents of a chosen area: the bounds as number fields, the first of them by density, and the way to all of them in the table.

import { address } from "../api.js";
import { latentLink } from "../card.js";
import { fill, h } from "../dom.js";
import { count, percent, plural } from "../format.js";
import { plainly } from "../tokens.js";

const SHOWN = 30;
/** Characters of an address that name latents; the table takes no more. */
const MOST = 7_900;
const SIDES = ["x from", "x to", "y from", "y to"];

/** Fills `place`; `choose(box)` takes another area, null for none; `ask(query)` asks the table for rows. */
export async function chosenLatents(place, { run, sae, box, latents, choose, ask }) {
  const only = latents.join(",");
  const list = h("ol", { class: "map__list" });
  fill(
    place,
    h("div", { class: "head" }, h("h2", {}, box ? plural(latents.length, "latent") : "Choose an area"), box && h("button", { class: "button button--plain head__end", type: "button", onclick: () => choose(null) }, "Clear")),
    fields(box, choose),
    box && sae.has_atlas && way(run, sae.name, latents, only),
    list,
  );
  if (!latents.length || !sae.has_atlas || only.length > MOST) return;
  try {
    const { rows, total } = await ask({ only, state: "all", sort: "density", order: "descending", limit: SHOWN });
    fill(list, rows.map((row) => h("li", { class: "small" }, latentLink(run, sae.name, row.index, count(row.index)), " ", row.explanation ? plainly(row.explanation) : h("span", { class: "muted" }, "no explanation"), h("span", { class: "muted" }, ` · ${percent(row.density)}`))), total > SHOWN && h("li", { class: "muted small" }, `and ${count(total - SHOWN)} more`));
  } catch (error) {
    if (error.name !== "AbortError") fill(list, h("li", { class: "muted small" }, error.message));
  }
}

function way(run, sae, latents, only) {
  if (!latents.length) return h("p", { class: "muted small" }, "No latent lies there.");
  if (only.length > MOST) return h("p", { class: "muted small" }, "Too many for the table at once: choose a smaller area.");
  return h("a", { class: "button", href: address.latents(run, sae, { only, state: "all" }) }, "Open in the table");
}

/** The same as a drag, with the keyboard. */
function fields(box, choose) {
  const inputs = SIDES.map((side, i) => h("input", { class: "field", type: "number", min: -1, max: 1, step: 0.01, "aria-label": side, value: box ? box[i].toFixed(2) : "", placeholder: i % 2 ? "1" : "−1", onchange: () => apply() }));
  const apply = () => {
    const values = inputs.map((input, i) => (input.value === "" ? (i % 2 ? 1 : -1) : Number(input.value)));
    if (values.every(Number.isFinite)) choose([Math.min(values[0], values[1]), Math.max(values[0], values[1]), Math.min(values[2], values[3]), Math.max(values[2], values[3])]);
  };
  const pair = (title, [from, to]) => h("div", { class: "map__range small" }, h("span", { class: "muted" }, title), from, h("span", { "aria-hidden": "true" }, "–"), to);
  return h("div", { class: "map__fields" }, pair("x", inputs.slice(0, 2)), pair("y", inputs.slice(2)));
}
