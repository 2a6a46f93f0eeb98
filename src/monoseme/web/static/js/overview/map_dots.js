// Draws tens of thousands of dots in a few milliseconds: straight into pixels, the strong ones over the pale ones.

import { rgb } from "../theme.js";

/** Colours of level 0 (missing) to `levels`, as [red, green, blue], from the custom properties of an element. */
export function ramp(element, levels) {
  const style = getComputedStyle(element);
  const [missing, low, middle, high] = ["--missing", "--low", "--middle", "--high"].map((name) => rgb(style.getPropertyValue(name)));
  const mix = (from, to, share) => from.map((value, i) => value + (to[i] - value) * share);
  const at = (share) => (share < 0.5 ? mix(low, middle, share * 2) : mix(middle, high, share * 2 - 1));
  return [missing, ...Array.from({ length: levels }, (_, i) => at(i / (levels - 1)))];
}

export function drawDots(canvas, { px, py, levels, width, height, colours }) {
  const dense = Math.min(devicePixelRatio, 2);
  const [columns, rows] = [Math.round(width * dense), Math.round(height * dense)];
  Object.assign(canvas, { width: columns, height: rows });
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const inks = Uint32Array.from(colours, ([red, green, blue]) => (255 << 24) | (blue << 16) | (green << 8) | red);
  const dot = disc(radius(px.length) * dense);
  for (const i of byLevel(px.length, levels)) {
    const [x, y] = [Math.round(px[i] * dense), Math.round(py[i] * dense)];
    if (!(x >= 0) || !(y >= 0)) continue;
    const ink = inks[levels ? levels[i] : Math.ceil((colours.length - 1) / 2)];
    for (const [dx, dy] of dot) {
      const [column, row] = [x + dx, y + dy];
      if (column >= 0 && column < columns && row >= 0 && row < rows) pixels[row * columns + column] = ink;
    }
  }
  context.putImageData(image, 0, 0);
}

function radius(n) {
  if (n > 30_000) return 1;
  return n > 6_000 ? 1.5 : 2.2;
}

function disc(size) {
  const found = [];
  const most = Math.ceil(size);
  for (let dx = -most; dx <= most; dx += 1) for (let dy = -most; dy <= most; dy += 1) if (dx * dx + dy * dy <= size * size) found.push([dx, dy]);
  return found;
}

/** Numbers of the points in the order of their level: counted, not compared. */
function byLevel(n, levels) {
  const order = new Uint32Array(n);
  if (!levels) return order.map((_, i) => i);
  const starts = new Uint32Array(257);
  for (let i = 0; i < n; i += 1) starts[levels[i] + 1] += 1;
  for (let level = 1; level < 257; level += 1) starts[level] += starts[level - 1];
  for (let i = 0; i < n; i += 1) order[starts[levels[i]]++] = i;
  return order;
}
