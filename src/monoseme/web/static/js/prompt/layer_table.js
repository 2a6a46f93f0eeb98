// The latents at one position over the layers: a table whose cells are shaded by their value, by mean layer, then total.

import { fill, h } from "../dom.js";
import { term } from "../float.js";
import { activation, count, number } from "../format.js";
import { shade, visible } from "../tokens.js";
import { gridKeys } from "./grid_keys.js";
import { named, said } from "./named.js";
import { Slot } from "./slot.js";

const MORE = 60;
const MEAN = "Mean of the layer's number, each layer weighted by the size of the value there.";
const TOTAL = "Sum of the values over the layers.";

export class LayerTable {
  constructor(page) {
    this.page = page;
    this.body = h("div", {});
    this.title = h("h2", {}, "Latents by layer");
    this.node = h("section", { "aria-label": "Latents by layer" }, h("div", { class: "head" }, this.title), this.body);
    this.slot = new Slot(this.body);
  }

  /** Draws only what is not there: a table drawn anew between press and release of the mouse would lose the click. */
  preview(position, threshold, reading) {
    if (`${position} ${threshold}` !== this.shown) this.draw(position, threshold, reading);
  }

  draw(position, threshold, reading) {
    this.shown = `${position} ${threshold}`;
    return this.slot.show(this.page.ask("/layers/table", { position, threshold }), (answer) => {
      fill(this.title, "Latents by layer on ", h("span", { class: "chip" }, visible(answer.token.text)));
      const scrolled = this.body.querySelector(".by-layer__box")?.scrollTop;
      fill(this.body, answer.rows.length ? this.tableOf(answer, reading) : h("div", { class: "panel empty" }, h("p", {}, answer.max === null ? "No latent fires here." : "No value is above the threshold.")));
      this.scroll(scrolled);
    });
  }

  /** Back to where the table stood; at first, to the chosen latent. */
  scroll(to) {
    const box = this.body.querySelector(".by-layer__box");
    const chosen = this.body.querySelector(".by-layer__cell[data-on]");
    if (box) box.scrollTop = to ?? Math.max((chosen?.offsetTop ?? 0) - box.clientHeight / 2, 0);
  }

  tableOf(answer, reading) {
    const { page } = this;
    const rows = answer.rows.slice(0, page.state.rows);
    const explained = rows.some((row) => row.explanation !== null);
    const table = h(
      "table",
      { class: "by-layer", role: "grid", "aria-label": `Values by latent and layer, on ${visible(answer.token.text)}` },
      h("thead", {}, this.heading(answer.sites, explained)),
      h("tbody", {}, rows.map((row) => this.row(row, answer, { reading, explained }))),
    );
    gridKeys(table, "td[data-layer]");
    this.listen(table);
    return [h("div", { class: "panel panel--flush scroll by-layer__box" }, table), answer.n_rows > rows.length && this.further(rows.length, answer)];
  }

  heading(sites, explained) {
    const column = (content, kind = "num") => h("th", { scope: "col", class: kind }, content);
    return h("tr", {}, column("Latent", null), sites.map((site, layer) => column(this.head(site, layer))), column(term("Mean layer", MEAN)), column(term("Total", TOTAL)), explained && column("Explanation", "by-layer__words"));
  }

  further(n_shown, { n_rows, rows }) {
    const { page } = this;
    const more = h("button", { type: "button", class: "linkish", onclick: () => page.choose({ rows: page.state.rows + MORE }) }, "Show more");
    return h("p", { class: "small muted prompt__more" }, `${count(n_shown)} of ${count(n_rows)} latents. `, n_shown < rows.length ? more : "Raise the threshold to leave out the weaker ones.");
  }

  head(site, layer) {
    const { page } = this;
    return h("button", { type: "button", class: "sort", "aria-pressed": String(layer === page.layer(page.state)), "aria-label": `Choose ${site}`, data: { tip: site, layer }, onclick: () => page.choose({ layer }) }, short(site));
  }

  row(row, answer, { reading, explained }) {
    const { page } = this;
    const strongest = row.values.reduce((best, value, i) => (Math.abs(value ?? 0) > Math.abs(row.values[best] ?? 0) ? i : best), 0);
    const cell = (value, layer) => {
      const props = { class: "num by-layer__cell", tabindex: -1, "data-layer": layer, "data-latent": row.latent, "data-on": layer === page.layer(page.state) && row.latent === page.state.latent };
      if (value === null) return h("td", props, h("span", { class: "sr-only" }, "none"));
      return h("td", { ...props, vars: { "--v": shade(value, answer.max).toFixed(3) }, "data-negative": value < 0 }, number(value, 3));
    };
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, named(page, reading.layers[strongest].key, row.latent)),
      row.values.map(cell),
      h("td", { class: "num" }, row.mean_layer.toFixed(2)),
      h("td", { class: "num" }, activation(row.total)),
      explained && h("td", { class: "by-layer__words muted" }, row.explanation !== null && said(row.explanation)),
    );
  }

  /** A cell stands for a latent at a layer: pointing previews it on the text, a click or Enter chooses it. */
  listen(table) {
    const { page } = this;
    const meant = (event) => {
      const cell = event.target.closest?.("[data-layer]");
      if (!cell) return null;
      const layer = Number(cell.dataset.layer);
      return cell.dataset.latent === undefined ? { layer } : { layer, latent: Number(cell.dataset.latent) };
    };
    const preview = (event) => page.paintOnly(meant(event));
    const choose = (event) => meant(event)?.latent !== undefined && page.choose(meant(event));
    table.addEventListener("pointerover", (event) => event.pointerType !== "touch" && preview(event));
    table.addEventListener("pointerleave", () => page.paintOnly(null));
    table.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && preview(event));
    table.addEventListener("focusout", () => page.paintOnly(null));
    table.addEventListener("click", (event) => !event.target.closest("a") && choose(event));
    table.addEventListener("keydown", (event) => event.key === "Enter" && event.target.matches("td") && choose(event));
  }
}

/** "resid_post.3" as "3" would hide the place: the name is cut to its end only where all of it is told beside. */
function short(site) {
  return site.replace(/^resid_post\./, "").replace(/^.*(?=\b\w+\.\d+$)/, "");
}
