// What each layer looks like on the text: a histogram of its codes, and the metrics of its reconstruction.

import { h, svg } from "../dom.js";
import { term } from "../float.js";
import { count, number } from "../format.js";
import { missing, titleOf, told } from "../metrics.js";

const HEIGHT = 64;

/** One small histogram a layer, all on the same scales; a mark where the chosen latent's value lies. */
export function layerHistograms(page, reading, { layer, value }) {
  const { edges } = reading.layers[0].histogram;
  const most = Math.max(1, ...reading.layers.flatMap((item) => item.histogram.counts));
  return h(
    "section",
    { "aria-label": "Histograms of codes" },
    h("div", { class: "head" }, h("h2", {}, "Codes at each layer"), h("span", { class: "muted small" }, `64 bins from ${number(edges[0], 3)} to ${number(edges.at(-1), 3)}; heights are log(1 + count), up to ${count(most)}`)),
    h("div", { class: "layer-histograms", onpointerleave: () => page.paintOnly(null) }, reading.layers.map((item, i) => histogram(page, item, i, { most, chosen: i === layer, value: i === layer ? value : null }))),
  );
}

function histogram(page, item, layer, { most, chosen, value }) {
  const { edges, counts } = item.histogram;
  const fired = item.max === null ? "nothing fired" : `${count(item.n_fired)} latents fired, largest ${number(item.max, 3)}`;
  const bars = counts.map((n, i) => {
    const height = n ? Math.max((Math.log1p(n) / Math.log1p(most)) * HEIGHT, 1.5) : 0;
    return svg("rect", { x: i, y: HEIGHT - height, width: 0.9, height, "data-tip": `${number(edges[i], 3)} to ${number(edges[i + 1], 3)}\n${count(n)} codes` });
  });
  const at = value === null ? [] : [svg("line", { class: "layer-histogram__mark", x1: placed(value, edges, counts.length), x2: placed(value, edges, counts.length), y1: 0, y2: HEIGHT })];
  return h(
    "figure",
    { class: "panel layer-histogram", "data-layer": layer, "data-on": chosen, onpointerover: (event) => event.pointerType !== "touch" && page.paintOnly({ layer }) },
    h("figcaption", {}, h("button", { type: "button", class: "layer-histogram__pick", "aria-pressed": String(chosen), onclick: () => page.choose({ layer }) }, item.site), h("span", { class: "muted small" }, fired)),
    svg("svg", { viewBox: `0 0 ${counts.length} ${HEIGHT}`, preserveAspectRatio: "none", class: "bars layer-histogram__bars", role: "img", "aria-label": `Histogram of codes at ${item.site}: ${fired}` }, bars, at),
  );
}

function placed(value, edges, n) {
  return ((value - edges[0]) / (edges.at(-1) - edges[0] || 1)) * n;
}

/** One row a layer, one column a metric; definitions on the names. */
export function layerMetrics(page, reading) {
  const names = reading.layers[0].metrics;
  const heading = (metric) => h("th", { scope: "col", class: "num" }, term(titleOf(metric.name), [metric.definition, metric.unit && `Unit: ${metric.unit}.`].filter(Boolean).join("\n")));
  const cell = (metric) => h("td", { class: "num" }, metric.value === null ? missing(metric.why_missing) : told(metric).value);
  return h(
    "section",
    { "aria-label": "Metrics of this text" },
    h("div", { class: "head" }, h("h2", {}, "Reconstruction of this text")),
    h(
      "div",
      { class: "panel panel--flush scroll" },
      h(
        "table",
        { class: "of-layers" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Layer"), names.map(heading), h("th", { scope: "col", class: "num" }, "Latents fired"))),
        h("tbody", {}, reading.layers.map((item, layer) => h("tr", { "data-chosen": layer === page.layer(page.state) }, h("th", { scope: "row" }, item.site), item.metrics.map(cell), h("td", { class: "num" }, count(item.n_fired))))),
      ),
    ),
  );
}
