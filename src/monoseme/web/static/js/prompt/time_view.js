// A text over time: which latents of which part of the code fire on which token, and how much of the reconstruction each part makes.

import { fill, h } from "../dom.js";
import { term } from "../float.js";
import { count, number, percent } from "../format.js";
import { missing } from "../metrics.js";
import { energyStripes } from "./energy.js";
import { shadedBy } from "./named.js";
import { largest } from "./shading.js";
import { Slot } from "./slot.js";
import { TimeMap } from "./time_map.js";

const L0 = "Mean number of latents that fire on a token that the SAE reads.";
const ENERGY = "‖p‖² over the sum of ‖q‖² of all parts, p being what this part adds to the reconstruction; sums over the tokens of the text, so that those of a large norm count for more.";

export class TimeView {
  constructor(page) {
    this.page = page;
    this.reading = null;
    this.body = h("div", { class: "stack", vars: { "--gap": "18px" } });
    this.node = h("div", {}, this.body);
    this.slot = new Slot(this.body);
  }

  draw() {
    const { latent } = this.page.state;
    if (this.reading && (latent === null || this.asked === latent || rowOf(this.reading, this.page.state))) return this.map?.mark();
    this.asked = latent;
    return this.slot.show(this.page.ask("/time", { latent }), (reading) => {
      this.reading = reading;
      this.map = reading.rows.length ? new TimeMap(this.page, reading, energyStripes(reading)) : null;
      fill(this.body, this.partTable(), this.map?.node ?? h("div", { class: "panel empty" }, h("p", {}, "No latent fired.")), this.below());
      this.map?.start(this.page.signal);
      this.page.paint(this.page.state);
    });
  }

  preview(changes) {
    this.map?.mark(changes?.chosen ?? this.page.state.chosen);
  }

  shading(shown) {
    const row = this.reading && rowOf(this.reading, shown);
    if (!row) return null;
    const values = this.reading.tokens.map(() => 0);
    row.positions.forEach((at, i) => (values[at] = row.values[i]));
    const part = this.reading.parts.length > 1 ? row.part : null;
    const site = this.page.reading.views.layers.length ? this.reading.site : null;
    return { values, top: largest(values), peak: row.peak, caption: shadedBy(this.page, { key: row.key, latent: row.latent, site, part, explanation: row.explanation, fires: true }) };
  }

  partTable() {
    const { parts, why_no_energy: why } = this.reading;
    if (parts.length < 2) return null;
    const energy = (part) => (part.energy_of_text === null ? missing(why ?? "no part adds anything") : percent(part.energy_of_text));
    const row = (part) => h("tr", {}, h("th", { scope: "row" }, part.name), h("td", { class: "num" }, energy(part)), h("td", { class: "num" }, number(part.l0, 3)), h("td", { class: "num" }, count(part.n_fired)));
    const heads = [term("Share of energy", ENERGY), term("L0", L0), "Latents fired"].map((title) => h("th", { scope: "col", class: "num" }, title));
    const table = h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Part"), heads)), h("tbody", {}, parts.map(row)));
    return h("section", { "aria-label": "Parts of the code" }, h("div", { class: "head" }, h("h2", {}, "Parts of the code")), h("div", { class: "panel panel--flush scroll time-parts" }, table));
  }

  below() {
    const { rows, n_rows: all, site } = this.reading;
    const which = rows.length < all ? `The ${count(rows.length)} latents of the largest totals, of ${count(all)} that fired at ${site}` : `The ${count(all)} latents that fired at ${site}`;
    return h("p", { class: "muted small" }, `${which}, each part in the order in which they first peak. A deeper shade is stronger, on a scale of its own in each part; blue is negative. Arrow keys move over the map, Enter chooses.`);
  }
}

/** The row of the chosen latent; of the chosen part where both parts have one of that number. */
function rowOf({ rows }, { latent, part }) {
  return rows.find((row) => row.latent === latent && row.part === part) ?? rows.find((row) => row.latent === latent);
}
