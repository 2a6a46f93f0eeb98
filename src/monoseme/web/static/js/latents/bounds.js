// Pairs of number fields for the lowest and highest value that passes: what a brush sets, for the keyboard.

import { h } from "../dom.js";

/** `scale` is what a typed number is divided by: densities are typed as percentages. */
export function bounds(name, { label, unit = "", scale = 1, change }) {
  const field = (end, title) => {
    const changed = (event) => {
      const value = Number.parseFloat(event.target.value.replace(",", "."));
      change({ [`${name}_${end}`]: Number.isFinite(value) ? String(value / scale) : null });
    };
    return h("input", { class: "field field--short", inputmode: "decimal", placeholder: title, "aria-label": `${label} ${title}${unit && `, ${unit}`}`, onchange: changed });
  };
  const low = field("min", "from");
  const high = field("max", "to");
  const node = h("div", { class: "bounds", role: "group", "aria-label": label }, low, h("span", { class: "muted", "aria-hidden": "true" }, "–"), high, unit && h("span", { class: "muted small" }, unit));
  const show = (box, value) => {
    if (document.activeElement !== box) box.value = value === undefined || value === null ? "" : String(Number((Number(value) * scale).toPrecision(6)));
  };
  return {
    node,
    update(query) {
      show(low, query[`${name}_min`]);
      show(high, query[`${name}_max`]);
    },
  };
}
