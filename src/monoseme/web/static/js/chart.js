// Draws Vega-Lite specifications. The library is fetched when the first chart comes into sight.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { hideTip, showTip } from "./float.js";
import { isDark, onTheme } from "./theme.js";

let library;
let themes;

/** The drawing library, and the figures' own colours, each fetched once. */
async function load(signal) {
  library ??= import("/assets/vega.js").then(() => window.vegaEmbed);
  themes ??= get("/chart-themes", { signal });
  themes.catch(() => (themes = null));
  return { embed: await library, themes: await themes };
}

/** A figure with the specification at `path` of the API drawn in it; redrawn when the theme changes. */
export function chart(path, { label, caption = "", height = 240, signal }) {
  const draw = h("div", { class: "chart__draw", role: "img", "aria-label": label, "aria-busy": "true" });
  const figure = h("figure", { class: "chart", vars: { "--chart-height": `${height}px` } }, draw, caption && h("figcaption", {}, caption));
  const state = { spec: null, view: null };

  const redraw = async () => {
    try {
      state.spec ??= await get(path, { signal });
      const { embed, themes } = await load(signal);
      if (signal?.aborted) return;
      state.view?.finalize();
      state.view = await embed(draw, dressed(state.spec, height, themes), options());
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

/** The specification at the size of its box, in the colours of the figures and the type of the page. */
function dressed(spec, height, themes) {
  const style = getComputedStyle(document.body);
  const heat = { fill: style.getPropertyValue("--heat-chart").trim() };
  const config = { ...(isDark() ? themes.dark : themes.light), font: style.fontFamily, rect: heat };
  const plain = { ...spec, config, background: "transparent", padding: 4 };
  return hasOwnSize(spec) ? plain : { ...plain, width: "container", height, autosize: { type: "fit", contains: "padding" } };
}

/** Charts side by side, and those with a size for each mark; the others fill their box. */
function hasOwnSize(spec) {
  const joined = ["concat", "hconcat", "vconcat", "facet", "repeat"].some((key) => key in spec);
  return joined || typeof spec.width === "number" || typeof (spec.width ?? spec.height) === "object";
}

/** The library's own tooltip writes markup and styles into the page; ours is the one tokens use. */
function tooltip(_handler, event, _item, value) {
  if (value === null || value === undefined || value === "") return hideTip();
  const lines = typeof value === "object" ? Object.entries(value).map(([key, item]) => `${key}: ${item}`) : [String(value)];
  return showTip({ x: event.clientX, y: event.clientY }, lines.map((line) => h("div", {}, line)));
}
