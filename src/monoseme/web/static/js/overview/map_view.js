// The map of a dictionary: latents whose directions are alike lie side by side. Point at one for its card; drag to choose an area.

import { address, answer, get, search } from "../api.js";
import { fill, h } from "../dom.js";
import { plural } from "../format.js";
import { chosenLatents } from "./map_chosen.js";
import { COLOURS, colouring, legend } from "./map_colours.js";
import { MapPlot } from "./map_plot.js";
import { ProgressLine, finished } from "./wait.js";

const METHODS = [
  ["umap", "UMAP", "Keeps who is near whom; distances between groups mean nothing"],
  ["pca", "PCA", "The two directions of most variance"],
];
const COLUMNS = ["density", "max", "score"];

export function mapView(run, { signal, state, router }) {
  if (!run.saes.length) return h("div", { class: "notice" }, h("h2", {}, "No SAE yet"));
  return new MapView(run, { signal, state, router }).node;
}

class MapView {
  constructor(run, { signal, state, router }) {
    Object.assign(this, { run, signal, state, router, values: null, area: null });
    this.sae = run.saes.find((sae) => sae.name === state.query.sae) ?? run.saes[0];
    this.progress = new ProgressLine("Making the map");
    this.note = h("p", { class: "muted small", role: "status" });
    this.legend = h("div", { class: "map__legend small" });
    this.chosen = h("section", { class: "map__chosen", "aria-label": "Latents of the chosen area" });
    const open = (latent) => this.sae.has_atlas && router.go(address.latent(run.id, this.sae.name, latent));
    this.plot = new MapPlot({ run: run.id, sae: this.sae, chose: (box) => this.choose(box), open, says: (latent) => this.says(latent), signal });
    this.node = h("div", { class: "map" }, this.controls(), this.progress.node, h("div", { class: "map__body" }, h("div", { class: "panel map__panel" }, this.plot.node, this.legend), this.chosen), this.note);
    this.choose(null, { note: false });
    this.load();
  }

  get method() {
    return METHODS.find(([name]) => name === this.state.query.map) ?? METHODS[0];
  }

  get colour() {
    return COLOURS.find(({ name }) => name === this.state.query.colour && this.known(name)) ?? COLOURS.find(({ name }) => this.known(name)) ?? null;
  }

  known(name) {
    return this.values?.[name]?.some(Number.isFinite) ?? false;
  }

  controls() {
    const { run, sae } = this;
    const pick = h("select", { class: "field", onchange: (event) => this.again({ sae: event.target.value }) }, run.saes.map(({ name }) => h("option", { value: name, selected: name === sae.name }, name)));
    this.methods = h("div", { class: "segments", role: "group", "aria-label": "Kind of map" }, METHODS.map(([name, title, tip]) => h("button", { type: "button", "aria-pressed": String(name === this.method[0]), data: { tip, name }, onclick: () => this.again({ map: name === "umap" ? null : name }) }, title)));
    this.colours = h("select", { class: "field", onchange: (event) => (this.state.change({ colour: event.target.value }), this.paint()) });
    return h("div", { class: "map__controls" }, h("label", { class: "label" }, "SAE", pick), h("label", { class: "label" }, "Shaded by", this.colours), this.methods);
  }

  /** Another SAE or another kind of map: an area of this one means nothing there. */
  async again(changes) {
    this.state.change({ ...changes, box: null });
    await this.router.open();
  }

  async load() {
    try {
      await Promise.all([this.loadValues(), this.loadPoints()]);
    } catch (error) {
      if (error.name !== "AbortError") fill(this.note, error.message);
    }
  }

  async loadValues() {
    if (!this.sae.has_atlas) return;
    const path = `${address.latents(this.run.id, this.sae.name)}/values${search({ columns: COLUMNS.join(",") })}`;
    const numbers = new Float32Array(await (await answer(path, { signal: this.signal })).arrayBuffer());
    const n = numbers.length / COLUMNS.length;
    this.values = Object.fromEntries(COLUMNS.map((name, i) => [name, numbers.subarray(i * n, (i + 1) * n)]));
    fill(this.colours, COLOURS.filter(({ name }) => this.known(name)).map(({ name, label }) => h("option", { value: name, selected: name === this.colour?.name }, label)));
    this.paint();
  }

  /** PCA stands in while UMAP is made. */
  async loadPoints() {
    const [method] = this.method;
    const path = `${address.sae(this.run.id, this.sae.name)}/map`;
    let standsIn = false;
    const told = ({ progress }) => {
      this.progress.show(progress, this.plot.xs ? "; until then the map is PCA" : "");
      if (method === "umap" && progress.state !== "done" && !standsIn) standsIn = this.standIn(path);
    };
    const found = await finished(path, { query: { method }, signal: this.signal, told });
    if (found.progress.state === "done") await this.draw(path, found);
  }

  standIn(path) {
    finished(path, { query: { method: "pca" }, signal: this.signal, told: () => {} })
      .then((found) => found.progress.state === "done" && !this.isFinal && this.draw(path, found))
      .catch((error) => error.name !== "AbortError" && fill(this.note, error.message));
    return true;
  }

  async draw(path, { method, n_latents: all, n_placed: placed, left_out: leftOut }) {
    const points = new Float32Array(await (await answer(`${path}/points${search({ method })}`, { signal: this.signal })).arrayBuffer());
    if (method === this.method[0]) this.isFinal = true;
    else if (this.isFinal) return;
    this.plot.place(points.subarray(0, all), points.subarray(all));
    const [, title, tip] = METHODS.find(([name]) => name === method);
    fill(this.note, `${title} of the decoder directions of ${plural(placed, "latent")}${leftOut ? `; not on it: ${leftOut}` : ""}. ${tip}. Point at a latent for its card, press to open it, drag to choose an area; with the keyboard, arrows go from latent to latent.`);
    this.paint();
    this.choose(boxOf(this.state.query.box), { note: false });
  }

  paint() {
    const { colour } = this;
    const shades = colour && colouring(this.values[colour.name], colour);
    this.plot.shade(shades?.levels ?? null);
    fill(this.legend, shades ? legend(colour, shades) : null);
  }

  says(latent) {
    return ["Latent ", String(latent), ...COLOURS.filter(({ name }) => this.known(name)).map(({ name, label, tell }) => `, ${label.toLowerCase()} ${tell(this.values[name][latent])}`)].join("");
  }

  choose(box, { note = true } = {}) {
    if (note) this.state.change({ box: box ? box.map((value) => value.toFixed(3)).join(",") : null }, { replace: false });
    this.plot.outline(box);
    chosenLatents(this.chosen, { run: this.run.id, sae: this.sae, box, latents: box ? this.plot.inside(box) : [], choose: (chosen) => this.choose(chosen), ask: (query) => get(address.latents(this.run.id, this.sae.name), { query, signal: this.signal }) });
  }
}

/** [x from, x to, y from, y to] out of the address, or null. */
function boxOf(text) {
  const box = (text ?? "").split(",").map(Number);
  return text && box.length === 4 && box.every(Number.isFinite) ? box : null;
}
