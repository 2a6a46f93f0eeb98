// Draws Vega-Lite specifications. The library is fetched when the first chart comes into sight.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { hideTip, showTip } from "./float.js";
import { isDark, onTheme } from "./theme.js";

let library;

function load() {
  library ??= import("/assets/vega.js").then(() => window.vegaEmbed);
  return library;
}

/** A figure with the specification at `path` of the API drawn in it; redrawn when the theme changes. */
export function chart(path, { label, caption = "", height = 240, signal }) {
  const draw = h("div", { class: "chart__draw", role: "img", "aria-label": label, "aria-busy": "true" });
  const figure = h("figure", { class: "chart", vars: { "--chart-height": `${height}px` } }, draw, caption && h("figcaption", {}, caption));
  const state = { spec: null, view: null };

  const redraw = async () => {
    try {
      state.spec ??= await get(path, { signal });
      const embed = await load();
      if (signal?.aborted) return;
      state.view?.finalize();
      state.view = await embed(draw, dressed(state.spec, height), options());
      draw.setAttribute("aria-busy", "false");
    } catch (error) {
      if (error.name !== "AbortError") fill(draw, h("p", { class: "muted small" }, `This chart cannot be drawn: ${error.message}`));
    }
  };

  whenSeen(figure, redraw, signal);
  onTheme(() => state.spec && redraw(), signal);
  signal?.addEventListener("abort", () => state.view?.finalize());
  return figure;
}

function whenSeen(element, run, signal) {
  const watch = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      run();
    },
    { rootMargin: "300px" },
  );
  watch.observe(element);
  signal?.addEventListener("abort", () => watch.disconnect());
}

/** `ast` walks expressions instead of compiling them, which the content security policy forbids. */
function options() {
  return { ast: true, actions: false, defaultStyle: false, renderer: "svg", tooltip };
}

/** The specification at the width of its box, in the colours and type of the page. */
function dressed(spec, height) {
  const plain = { ...spec, config: { ...spec.config, ...colours() }, background: "transparent", padding: 0 };
  const single = plain.mark || plain.layer;
  return single ? { ...plain, width: "container", height, autosize: { type: "fit", contains: "padding" } } : plain;
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  const font = getComputedStyle(document.body).fontFamily;
  const quiet = { labelColor: value("--ink-3"), titleColor: value("--ink-2"), labelFont: font, titleFont: font, titleFontWeight: 500, labelFontSize: 12, titleFontSize: 12 };
  const mark = isDark() ? "#e0963a" : "#c97b12";
  return {
    font,
    view: { stroke: null },
    axis: { ...quiet, gridColor: value("--line"), domainColor: value("--line-strong"), tickColor: value("--line-strong") },
    legend: { ...quiet, orient: "top", title: null, symbolStrokeWidth: 2 },
    header: quiet,
    title: { color: value("--ink"), font, anchor: "start" },
    bar: { fill: mark },
    line: { stroke: mark, strokeWidth: 2 },
    area: { fill: mark },
    rule: { stroke: value("--ink-3") },
    text: { fill: value("--ink-2"), font },
    // Okabe and Ito's colours without the yellow, which no white page shows.
    range: { category: isDark() ? ["#56b4e9", "#e69f00", "#2fc49a", "#ee8fc4", "#ff8a4d", "#9db8ff"] : ["#0072b2", "#d07c00", "#00835f", "#b4568b", "#c24a00", "#4b5fc1"] },
  };
}

/** The library's own tooltip writes markup and styles into the page; ours is the one tokens use. */
function tooltip(_handler, event, _item, value) {
  if (value === null || value === undefined || value === "") return hideTip();
  const lines = typeof value === "object" ? Object.entries(value).map(([key, item]) => `${key}: ${item}`) : [String(value)];
  return showTip({ x: event.clientX, y: event.clientY }, lines.map((line) => h("div", {}, line)));
}
