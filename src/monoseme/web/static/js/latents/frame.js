// The frame of a plot: a drawing area with ticks below and at its left, and a brush over it.

import { fill, h } from "../dom.js";
import { brush } from "../brush.js";

export class Frame {
  /** `x` and `y` tell of the axes: { name, label, tick }; without `y` only x is brushed. `brushed({ x, y })` gets shares, or null. */
  constructor({ title, x, y = null, brushed, pressed = null, controls = null, signal }) {
    Object.assign(this, { x, y });
    this.marks = h("div", { class: "plot__marks" });
    this.chosen = h("div", { class: "plot__chosen", hidden: true });
    this.area = h("div", { class: "plot__area", role: "img", "aria-label": title }, this.marks, this.chosen);
    this.below = h("div", { class: "plot__below", "aria-hidden": "true" });
    this.left = h("div", { class: "plot__left", "aria-hidden": "true" });
    this.note = h("figcaption", { class: "sr-only" });
    this.node = h("figure", { class: `plot${y ? " plot--both" : ""}` }, h("div", { class: "plot__head" }, h("h2", { class: "plot__title" }, title), controls), this.left, this.area, this.below, this.note);
    brush(this.area, { both: Boolean(y), moved: (shares) => this.outline(shares ?? this.set), done: brushed, pressed, signal });
  }

  /** Sets the axes and says in words what the plot shows. */
  scale(xScale, yScale, told) {
    Object.assign(this, { xScale, yScale });
    const tick = (axis, side) => (at) => h("span", { class: "plot__tick", vars: { "--at": `${(at.at * 100).toFixed(2)}%` }, data: { side } }, axis.tick(at.value));
    fill(this.below, xScale ? xScale.ticks.map(tick(this.x, "below")) : null);
    fill(this.left, this.y && yScale ? yScale.ticks.map(tick(this.y, "left")) : null);
    this.area.setAttribute("aria-label", told);
    fill(this.note, `${told} Its fields below choose the same as a drag over the plot.`);
  }

  /** Marks what the filters choose; `range(name)` gives the bounds of a column, each null where it is open. */
  choose(range) {
    const shares = (axis, scale) => {
      const [low, high] = range(axis.name);
      if (!scale || (low === null && high === null)) return null;
      return [low === null ? 0 : scale.at(low), high === null ? 1 : scale.at(high)].map((share) => (Number.isFinite(share) ? Math.min(Math.max(share, 0), 1) : 0));
    };
    const x = shares(this.x, this.xScale);
    const y = this.y ? shares(this.y, this.yScale) : null;
    this.set = x || y ? { x: x ?? [0, 1], y: y ?? [0, 1] } : null;
    this.outline(this.set);
  }

  outline(shares) {
    this.chosen.hidden = !shares;
    if (!shares) return;
    const { x, y = [0, 1] } = shares;
    const share = (value) => `${(value * 100).toFixed(2)}%`;
    const place = { "--from": share(x[0]), "--width": share(x[1] - x[0]), "--top": share(1 - y[1]), "--height": share(y[1] - y[0]) };
    for (const [name, value] of Object.entries(place)) this.chosen.style.setProperty(name, value);
  }
}
