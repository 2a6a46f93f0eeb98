// The points of a map on a canvas, the latent at hand as a link with its card, and the area that is dragged.

import { hideCard, latentLink } from "../card.js";
import { h } from "../dom.js";
import { brush } from "../brush.js";
import { onTheme } from "../theme.js";
import { LEVELS } from "./map_colours.js";
import { drawDots, ramp } from "./map_dots.js";

const NEAR = 12;
const MARGIN = 10;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class MapPlot {
  /** `chose(box)` takes an area, `open(latent)` goes to one, `says(latent)` tells of it in words. */
  constructor({ run, sae, chose, open, says, signal }) {
    Object.assign(this, { run, sae, says, xs: null, levels: null, at: null });
    this.canvas = h("canvas", { class: "map__canvas", "aria-hidden": "true" });
    this.box = h("div", { class: "map__box", hidden: true });
    this.cursor = h("span", {});
    this.node = h("div", { class: "map__area", role: "group", "aria-label": "Map of the latents" }, this.canvas, this.box, this.cursor);
    const done = (shares) => chose([...shares.x, ...shares.y].map((share, i) => this.value(share, i < 2)));
    const pressed = (point) => {
      const latent = this.nearest(point);
      if (latent !== null) open(latent);
    };
    brush(this.node, { both: true, moved: (shares) => this.drag(shares), done, pressed, signal });
    this.node.addEventListener("pointermove", (event) => event.buttons || this.point(event));
    this.node.addEventListener("keydown", (event) => this.press(event));
    const watch = new ResizeObserver(() => this.paint());
    watch.observe(this.node);
    signal?.addEventListener("abort", () => watch.disconnect());
    onTheme(() => this.paint(), signal);
  }

  place(xs, ys) {
    Object.assign(this, { xs, ys });
    this.paint();
    const first = this.nearest({ x: this.node.clientWidth / 2, y: this.node.clientHeight / 2 }, Infinity);
    if (first !== null) this.go(first);
  }

  shade(levels) {
    this.levels = levels;
    this.paint();
  }

  /** The side of the square in which x and y have one scale, and where it begins. */
  get frame() {
    const { clientWidth: width, clientHeight: height } = this.node;
    const side = Math.min(width, height) - 2 * MARGIN;
    return { width, height, side, left: (width - side) / 2, top: (height - side) / 2 };
  }

  paint() {
    if (!this.xs || !this.node.clientWidth) return;
    const { width, height, side, left, top } = this.frame;
    this.px = Float32Array.from(this.xs, (x) => left + ((x + 1) / 2) * side);
    this.py = Float32Array.from(this.ys, (y) => top + ((1 - y) / 2) * side);
    drawDots(this.canvas, { px: this.px, py: this.py, levels: this.levels, width, height, colours: ramp(this.node, LEVELS) });
    if (this.at !== null) this.go(this.at);
    this.outline(this.area ?? null);
  }

  /** A share of the drawing area as a coordinate of the map. */
  value(share, isX) {
    const { width, height, side, left, top } = this.frame;
    return isX ? ((share * width - left) / side) * 2 - 1 : (((share * height - top) / side) * 2 - 1);
  }

  share(value, isX) {
    const { width, height, side, left, top } = this.frame;
    return isX ? (left + ((value + 1) / 2) * side) / width : (top + ((value + 1) / 2) * side) / height;
  }

  inside([left, right, low, high]) {
    const found = [];
    for (let i = 0; i < (this.xs?.length ?? 0); i += 1) if (this.xs[i] >= left && this.xs[i] <= right && this.ys[i] >= low && this.ys[i] <= high) found.push(i);
    return found;
  }

  outline(box) {
    this.area = box;
    this.drag(box && { x: [this.share(box[0], true), this.share(box[1], true)], y: [this.share(box[2], false), this.share(box[3], false)] }, true);
  }

  drag(shares, isSet = false) {
    if (!shares && !isSet) return this.outline(this.area ?? null);
    this.box.hidden = !shares;
    if (!shares) return undefined;
    const at = (share) => `${(share * 100).toFixed(2)}%`;
    const { x, y } = shares;
    for (const [name, value] of [["--from", x[0]], ["--width", x[1] - x[0]], ["--top", 1 - y[1]], ["--height", y[1] - y[0]]]) this.box.style.setProperty(name, at(value));
    return undefined;
  }

  point(event) {
    const box = this.node.getBoundingClientRect();
    const latent = this.nearest({ x: event.clientX - box.left, y: event.clientY - box.top });
    if (latent !== null && latent !== this.at) this.go(latent);
  }

  /** The link to the latent at hand is made anew for each, so that pointer and focus meet a link that has not shown its card. */
  go(latent) {
    const focused = document.activeElement === this.cursor;
    if (latent !== this.at) hideCard();
    this.at = latent;
    const says = this.says(latent);
    const link = this.sae.has_atlas ? latentLink(this.run, this.sae.name, latent) : h("button", { type: "button", data: { tip: says } });
    link.className = "map__cursor";
    link.draggable = false;
    link.setAttribute("aria-label", says);
    link.style.setProperty("--x", `${this.px[latent]}px`);
    link.style.setProperty("--y", `${this.py[latent]}px`);
    this.cursor.replaceWith(link);
    this.cursor = link;
    if (focused) link.focus();
  }

  press(event) {
    const step = ARROWS[event.key];
    if (!step || !this.px || this.at === null) return;
    event.preventDefault();
    const next = this.towards(step);
    if (next !== null) this.go(next);
  }

  /** The nearest latent within 45 degrees of a direction; what lies straight ahead counts as nearer. */
  towards([dx, dy]) {
    let [found, least] = [null, Infinity];
    for (let i = 0; i < this.px.length; i += 1) {
      const [x, y] = [this.px[i] - this.px[this.at], this.py[this.at] - this.py[i]];
      const ahead = x * dx + y * dy;
      const aside = Math.abs(x * dy) + Math.abs(y * dx);
      const distance = ahead + 2 * aside;
      if (ahead > 0.5 && aside <= ahead && distance < least) [found, least] = [i, distance];
    }
    return found;
  }

  nearest({ x, y }, within = NEAR) {
    let [found, least] = [null, within * within];
    for (let i = 0; i < (this.px?.length ?? 0); i += 1) {
      const distance = (this.px[i] - x) ** 2 + (this.py[i] - y) ** 2;
      if (distance < least) [found, least] = [i, distance];
    }
    return found;
  }
}
