// The plots over the table, with the number fields that choose the same: density, score, and one against the other.

import { address, answer, search } from "../api.js";
import { fill, h } from "../dom.js";
import { activation, number, percent, plural } from "../format.js";
import { bounds } from "./bounds.js";
import { histogram } from "./histogram.js";
import { filtersOf, plotsShown } from "./query.js";
import { percentTick, plainTick } from "./scale.js";
import { scatter } from "./scatter.js";

const DENSITY = { name: "density", label: "Density", log: true, high: 1, tick: percentTick };
const SCORE = { name: "score", label: "Score", tick: plainTick };
const MAX = { name: "max", label: "Max", low: 0, tick: plainTick };
const NAMES = ["density", "max", "score"];

export class Plots {
  constructor({ run, sae, change, open, signal }) {
    Object.assign(this, { run, sae, change, open, signal, drawn: [] });
    this.fields = [
      bounds("density", { label: "Density", unit: "%", scale: 100, change }),
      bounds("score", { label: "Score", change }),
      bounds("max", { label: "Max", change }),
    ];
    this.figures = h("div", { class: "plots__figures" });
    const [density, score, max] = this.fields;
    const labelled = (title, { node }) => h("div", { class: "plots__bounds" }, h("span", { class: "plots__name" }, title), node);
    this.node = h("section", { class: "panel plots", "aria-label": "Plots of all latents" }, this.figures, h("div", { class: "plots__fields" }, labelled("Density", density), labelled("Score", score), labelled("Max", max)));
  }

  /** Shows a state: the fields at once, the plots when their numbers have come. */
  async update(query) {
    const turn = (this.turn = {});
    for (const field of this.fields) field.update(query);
    this.figures.hidden = !plotsShown(query);
    if (this.figures.hidden) return;
    this.values ??= this.load();
    const [values, passes] = await Promise.all([this.values, this.passing(query)]);
    const isLatest = () => turn === this.turn && !this.signal.aborted;
    if (isLatest()) await this.draw(query, values, passes, isLatest);
  }

  async load() {
    const path = `${address.latents(this.run, this.sae)}/values${search({ columns: NAMES.join(",") })}`;
    const numbers = new Float32Array(await (await answer(path, { signal: this.signal })).arrayBuffer());
    const n = numbers.length / NAMES.length;
    return Object.fromEntries(NAMES.map((name, i) => [name, numbers.subarray(i * n, (i + 1) * n)]));
  }

  async passing(query) {
    const path = `${address.latents(this.run, this.sae)}/passing${search(filtersOf(query))}`;
    const bits = new Uint8Array(await (await answer(path, { signal: this.signal })).arrayBuffer());
    const passes = new Uint8Array(bits.length * 8);
    for (let i = 0; i < passes.length; i += 1) passes[i] = (bits[i >> 3] >> (i & 7)) & 1;
    return passes;
  }

  async draw(query, values, passes, isLatest) {
    const scored = values.score.some(Number.isFinite);
    const y = query.y === "score" && scored ? SCORE : MAX;
    const among = passes.subarray(0, values.density.length);
    if (this.y !== y) this.build(y, scored, values);
    const range = (name) => ["min", "max"].map((end) => (query[`${name}_${end}`] === undefined ? null : Number(query[`${name}_${end}`])));
    for (const [plot, columns] of this.drawn) {
      // One plot a frame: together they would hold up a key or the wheel.
      await new Promise(requestAnimationFrame);
      if (!isLatest()) return;
      plot.draw(...columns.map((name) => values[name]), among);
      plot.choose(range);
    }
  }

  /** The plots anew: once, and when the other number is chosen for the points. */
  build(y, scored, values) {
    const { change, open, signal } = this;
    this.y = y;
    const tip = (latent) => [`Latent ${latent}`, `density ${percent(values.density[latent])} · max ${told(values.max[latent], activation)}${scored ? ` · score ${told(values.score[latent], number)}` : ""}`, "Press to open"];
    const axis = h("select", { class: "field plot__pick", "aria-label": "Drawn against density", onchange: (event) => change({ y: event.target.value === "max" ? null : event.target.value }) }, [["max", "max"], ["score", "score"]].map(([value, title]) => h("option", { value, selected: value === y.name }, title)));
    const points = scatter(scored ? "Density and" : "Density and max", { x: DENSITY, y }, { change, tip, open, controls: scored ? axis : null, signal });
    this.drawn = [
      [histogram("Density", DENSITY, { change, signal }), ["density"]],
      ...(scored ? [[histogram("Score", SCORE, { change, signal }), ["score"]]] : []),
      [points, ["density", y.name]],
    ];
    const dead = values.density.reduce((sum, density) => sum + (density === 0), 0);
    fill(this.figures, this.drawn.map(([plot]) => plot.node), h("p", { class: "plots__note muted small" }, `Strong: what passes the filters; pale: the others. Drag over a plot to choose.${dead ? ` ${plural(dead, "dead latent")} not drawn.` : ""}`));
  }
}

function told(value, as) {
  return as(Number.isFinite(value) ? value : null);
}
