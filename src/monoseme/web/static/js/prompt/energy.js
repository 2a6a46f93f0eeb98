// How the reconstruction of each token is shared out among the parts of the code.

import { h, svg } from "../dom.js";
import { percent } from "../format.js";
import { visible } from "../tokens.js";

/** { legend, bars }: one stacked bar a token; null where there is nothing to share out. */
export function energyStripes({ parts, tokens, why_no_energy: why }) {
  if (parts.length < 2 || why !== null) return null;
  const whole = parts.map((part) => `${part.name} ${percent(part.energy_of_text)}`).join(", ");
  const columns = tokens.map((item, at) => column(parts, item, at));
  return {
    legend: h("div", { class: "energy__legend small" }, h("span", { class: "muted" }, "Share of energy"), parts.map((part, i) => h("span", {}, h("span", { class: "energy__swatch", "data-part": i }), part.name))),
    bars: svg("svg", { class: "energy", viewBox: `0 0 ${tokens.length} 1`, preserveAspectRatio: "none", role: "img", "aria-label": `Share of energy on each token; of the text: ${whole}` }, columns),
  };
}

function column(parts, item, at) {
  const tip = [visible(item.text), ...parts.map((part) => `${part.name} ${percent(part.energy[at])}`)].join("\n");
  let top = 0;
  return parts.map((part, i) => {
    const height = part.energy[at] ?? 0;
    const bar = svg("rect", { x: at, y: top, width: 0.94, height, "data-part": i, "data-tip": tip });
    top += height;
    return bar;
  });
}
