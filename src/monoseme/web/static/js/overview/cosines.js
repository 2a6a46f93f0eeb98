// The distribution of largest cosines, a line for each of two SAEs: solid for the first, dashed for the second.

import { h, svg } from "../dom.js";
import { count, percent } from "../format.js";

const WIDTH = 420;
const HEIGHT = 170;
const LEFT = 40;
const BOTTOM = 34;

export function cosines({ a, b }, names) {
  const edges = a.histogram.edges;
  const share = (side) => side.histogram.counts.map((n) => n / side.n);
  const [ours, theirs] = [share(a), share(b)];
  const first = Math.max(0, Math.min(...[ours, theirs].map((shares) => shares.findIndex((value) => value > 0))) - 1);
  const top = Math.max(...ours, ...theirs);
  const x = (value) => LEFT + ((value - edges[first]) / (edges.at(-1) - edges[first])) * (WIDTH - LEFT - 6);
  const y = (value) => 8 + (1 - value / top) * (HEIGHT - 8);
  const path = (shares) => `M${x(edges[first])},${y(0)}${shares.slice(first).map((value, i) => `V${y(value)}H${x(edges[first + i + 1])}`).join("")}V${y(0)}`;
  const bins = edges.slice(first, -1).map((edge, i) => svg("rect", { x: x(edge), y: 0, width: x(edges[first + i + 1]) - x(edge), height: HEIGHT, class: "cosines__bin", "data-tip": `cosine ${edge.toFixed(3)} to ${edges[first + i + 1].toFixed(3)}\n${names.a}: ${count(a.histogram.counts[first + i])}\n${names.b}: ${count(b.histogram.counts[first + i])}` }));
  const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1].filter((value) => value >= edges[first]);
  const label = `Largest cosines: mean ${a.mean_cosine.toFixed(2)} for latents of ${names.a}, ${b.mean_cosine.toFixed(2)} for latents of ${names.b}.`;
  return h(
    "figure",
    { class: "cosines" },
    h("figcaption", { class: "small" }, h("span", { class: "cosines__key" }), ` ${names.a} `, h("span", { class: "cosines__key cosines__key--b" }), ` ${names.b}`),
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT + BOTTOM}`, role: "img", "aria-label": label },
      svg("line", { x1: LEFT, x2: WIDTH - 6, y1: HEIGHT, y2: HEIGHT, class: "cosines__axis" }),
      ticks.map((value) => svg("text", { x: x(value), y: HEIGHT + 15, class: "cosines__tick", "text-anchor": "middle" }, String(value))),
      [0, top].map((value) => svg("text", { x: LEFT - 5, y: y(value) + 4, class: "cosines__tick", "text-anchor": "end" }, percent(value))),
      svg("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT + 31, class: "cosines__tick", "text-anchor": "middle" }, "largest cosine with a direction of the other"),
      svg("path", { d: path(ours), class: "cosines__line" }),
      svg("path", { d: path(theirs), class: "cosines__line cosines__line--b" }),
      bins,
    ),
  );
}
