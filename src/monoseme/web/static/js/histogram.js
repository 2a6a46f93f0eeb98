// Histograms of activations as SVG: the full one with its axes, and a small one of bars alone for cards.

import { h, svg } from "./dom.js";
import { count, number } from "./format.js";

const WIDTH = 300;
const HEIGHT = 132;
const LEFT = 34;
const BOTTOM = 20;

/** Bars only: the shape at a glance, on a log scale of counts because large activations are rare. */
export function miniHistogram({ counts }) {
  const tallest = Math.log1p(Math.max(...counts, 1));
  const bars = counts.map((n, i) => {
    const height = n ? Math.max((Math.log1p(n) / tallest) * 36, 1.5) : 0;
    return svg("rect", { x: i + 0.08, y: 36 - height, width: 0.84, height });
  });
  return svg("svg", { viewBox: `0 0 ${counts.length} 36`, preserveAspectRatio: "none", class: "bars", "aria-hidden": "true" }, bars);
}

/** Counts over activations; bins are logarithmic, so equal widths on a log axis. `label` says what it shows in words. */
export function histogram({ edges, counts }, { label }) {
  const most = Math.max(...counts, 1);
  const step = (WIDTH - LEFT) / counts.length;
  const y = (n) => 8 + (HEIGHT - 8) * (1 - n / most);
  const bars = counts.map((n, i) => {
    const bar = svg("rect", { x: LEFT + i * step + 0.5, y: n ? Math.min(y(n), HEIGHT - 1) : HEIGHT, width: Math.max(step - 1, 0.5), height: n ? Math.max(HEIGHT - y(n), 1) : 0, class: "histogram__bar" });
    // The whole height of the bin answers the pointer: many bars are a pixel high.
    const bin = svg("rect", { x: LEFT + i * step, y: 0, width: step, height: HEIGHT, class: "histogram__bin", "data-tip": `${range(edges, i)}\n${count(n)} tokens` });
    return [bar, bin];
  });
  return h(
    "figure",
    { class: "histogram" },
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + BOTTOM}`, role: "img", "aria-label": label }, axes(edges, most, step, y), bars),
    table(edges, counts),
  );
}

function axes(edges, most, step, y) {
  const shown = ticks(edges.length);
  const anchor = (place) => (place === 0 ? "start" : place === shown.length - 1 ? "end" : "middle");
  return [
    [...new Set([0, Math.round(most / 2), most])].map((n) => [
      svg("line", { x1: LEFT, x2: WIDTH, y1: y(n), y2: y(n), class: "histogram__line" }),
      svg("text", { x: LEFT - 5, y: y(n) + 3.5, "text-anchor": "end", class: "histogram__text" }, short(n)),
    ]),
    shown.map((i, place) => svg("text", { x: LEFT + i * step, y: HEIGHT + 14, "text-anchor": anchor(place), class: "histogram__text" }, number(edges[i], 2))),
  ];
}

/** Which edges are named: the first, the last, and one or two between. */
function ticks(n) {
  if (n < 5) return [0, n - 1];
  return [0, Math.round((n - 1) / 3), Math.round(((n - 1) * 2) / 3), n - 1];
}

function short(n) {
  return n >= 10_000 ? `${Math.round(n / 1000)}k` : n >= 1000 ? `${(n / 1000).toFixed(1)}k` : String(Math.round(n));
}

function range(edges, i) {
  return `${number(edges[i], 3)} to ${number(edges[i + 1], 3)}`;
}

/** The same numbers for who cannot see or point. */
function table(edges, counts) {
  const rows = counts.map((n, i) => [n, i]).filter(([n]) => n);
  return h(
    "details",
    { class: "fold small" },
    h("summary", {}, "As a table"),
    h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Activation"), h("th", { scope: "col", class: "num" }, "Tokens"))), h("tbody", {}, rows.map(([n, i]) => h("tr", {}, h("td", {}, range(edges, i)), h("td", { class: "num" }, count(n)))))),
  );
}
