// All latents as points, density against another number: those that pass the filters dark, the others pale; more is denser.

import { fill, h } from "../dom.js";
import { count } from "../format.js";
import { hideTip, showTip } from "../float.js";
import { onTheme, rgb } from "../theme.js";
import { Frame } from "./frame.js";
import { rounded, scaleOf } from "./scale.js";

const NEAR = 9;
const DOT = 1.5;
// Fewer points than this are drawn larger, or one would not find them among the pale ones.
const FEW = 1000;

/** `axes` are { x, y }; `tip(latent)` gives the lines of a point's tip, `open(latent)` goes to it. */
export function scatter(title, { x, y }, { change, tip, open, controls, signal }) {
  const canvas = h("canvas", { class: "plot__canvas", "aria-hidden": "true" });
  const state = { values: null, passes: null };
  const brushed = (shares) => change({ ...range(x, state.xScale, shares.x), ...range(y, state.yScale, shares.y) });
  const pressed = (point) => {
    const latent = nearest(state, point);
    if (latent !== null) open(latent);
  };
  const frame = new Frame({ title, x, y, brushed, pressed, controls, signal });
  fill(frame.marks, canvas);
  const paint = () => state.values && frame.area.clientWidth && drawPoints(canvas, frame.area, state);
  const watch = new ResizeObserver(paint);
  watch.observe(frame.area);
  signal?.addEventListener("abort", () => watch.disconnect());
  onTheme(paint, signal);
  frame.area.addEventListener("pointermove", (event) => event.buttons || pointAt(frame.area, state, event, tip));
  frame.area.addEventListener("pointerleave", hideTip);
  return {
    node: frame.node,
    draw(xs, ys, passes) {
      Object.assign(state, { values: [xs, ys], passes, xScale: scaleOf(xs, x), yScale: scaleOf(ys, y) });
      if (!state.xScale || !state.yScale) return;
      const n = passes.reduce((sum, passing) => sum + passing, 0);
      frame.scale(state.xScale, state.yScale, `${x.label} and ${y.label} of ${count(xs.length)} latents, ${count(n)} of which pass the filters.`);
      paint();
    },
    choose: (bounds) => frame.choose(bounds),
  };
}

function range({ name }, scale, [from, to]) {
  return { [`${name}_min`]: rounded(scale.value(from)), [`${name}_max`]: rounded(scale.value(to)) };
}

/** Points as counts of pixels, so that 65,536 of them are drawn in a few milliseconds and crowds show. */
function drawPoints(canvas, area, state) {
  const dense = Math.min(devicePixelRatio, 2);
  const [width, height] = [Math.round(area.clientWidth * dense), Math.round(area.clientHeight * dense)];
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  place(state, area.clientWidth, area.clientHeight);
  const style = getComputedStyle(area);
  const few = state.passes.reduce((sum, passing) => sum + passing, 0) < FEW;
  for (const passing of [0, 1]) {
    const dot = Math.round(DOT * dense * (passing && few ? 2.5 : 1));
    const strength = passing ? (few ? 0.85 : 0.55) : 0.4;
    blend(image.data, counted(state, passing, { width, height, dense, dot }), rgb(style.getPropertyValue(passing ? "--passing" : "--all")), strength);
  }
  context.putImageData(image, 0, 0);
}

/** Where each point lies in CSS pixels; NaN where a number is missing. */
function place(state, width, height) {
  const [xs, ys] = state.values;
  state.px = Float32Array.from(xs, (value) => state.xScale.at(value) * (width - 1));
  state.py = Float32Array.from(ys, (value) => (1 - state.yScale.at(value)) * (height - 1));
}

function counted({ px, py, passes }, passing, { width, height, dense, dot }) {
  const counts = new Uint8Array(width * height);
  for (let i = 0; i < px.length; i += 1) {
    if (passes[i] !== passing || !(px[i] >= 0) || !(py[i] >= 0)) continue;
    const [left, top] = [Math.floor(px[i] * dense), Math.floor(py[i] * dense)];
    for (let row = top; row < Math.min(top + dot, height); row += 1) {
      for (let column = left; column < Math.min(left + dot, width); column += 1) counts[row * width + column] = Math.min(counts[row * width + column] + 1, 255);
    }
  }
  return counts;
}

function blend(data, counts, [red, green, blue], strength) {
  const shade = Float32Array.from({ length: 256 }, (_, n) => 1 - (1 - strength) ** n);
  for (let i = 0; i < counts.length; i += 1) {
    if (!counts[i]) continue;
    const [at, over] = [i * 4, shade[counts[i]]];
    const under = (data[at + 3] / 255) * (1 - over);
    const alpha = over + under;
    data[at] = (red * over + data[at] * under) / alpha;
    data[at + 1] = (green * over + data[at + 1] * under) / alpha;
    data[at + 2] = (blue * over + data[at + 2] * under) / alpha;
    data[at + 3] = alpha * 255;
  }
}

function pointAt(area, state, event, tip) {
  const box = area.getBoundingClientRect();
  const latent = nearest(state, { x: event.clientX - box.left, y: event.clientY - box.top });
  if (latent === null) return hideTip();
  return showTip({ x: event.clientX + 10, y: event.clientY + 4 }, tip(latent).map((line, i) => h("div", { class: i ? "muted" : null }, line)));
}

/** The point nearest to a place, those that pass before the others; null where none is near. */
function nearest({ px, py, passes }, { x, y }) {
  let [found, least] = [null, NEAR * NEAR];
  for (let i = 0; i < (px?.length ?? 0); i += 1) {
    const distance = (px[i] - x) ** 2 + (py[i] - y) ** 2 + (passes[i] ? 0 : NEAR);
    if (distance < least) [found, least] = [i, distance];
  }
  return found;
}
