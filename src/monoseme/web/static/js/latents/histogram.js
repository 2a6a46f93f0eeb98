// How many latents have which value: all of them pale, those that pass the filters dark.

import { fill, svg } from "../dom.js";
import { count } from "../format.js";
import { Frame } from "./frame.js";
import { rounded, scaleOf } from "./scale.js";

const BINS = 60;

/** `axis` is { name, label, tick, log, low, high }; `change` takes bounds for the filters. */
export function histogram(title, axis, { change, signal }) {
  const brushed = ({ x }) => change({ [`${axis.name}_min`]: rounded(state.scale.value(x[0])), [`${axis.name}_max`]: rounded(state.scale.value(x[1])) });
  const frame = new Frame({ title, x: axis, brushed, signal });
  const state = { scale: null };
  return {
    node: frame.node,
    /** Draws a column; `passes[i]` says whether latent i passes. */
    draw(values, passes) {
      state.scale ??= scaleOf(values, axis);
      if (!state.scale) return;
      const { all, passing } = counts(values, passes, state.scale);
      fill(frame.marks, bars(all, passing));
      frame.scale(state.scale, null, told(axis, state.scale, passing));
    },
    choose: (range) => frame.choose(range),
  };
}

function counts(values, passes, scale) {
  const all = new Uint32Array(BINS);
  const passing = new Uint32Array(BINS);
  for (let i = 0; i < values.length; i += 1) {
    const share = scale.at(values[i]);
    if (!(share >= 0 && share <= 1)) continue;
    const bin = Math.min(Math.floor(share * BINS), BINS - 1);
    all[bin] += 1;
    if (passes[i]) passing[bin] += 1;
  }
  return { all, passing };
}

function bars(all, passing) {
  const tallest = Math.max(...all, 1);
  const rect = (kind) => (n, i) => n > 0 && svg("rect", { class: `plot__bar plot__bar--${kind}`, x: i + 0.06, width: 0.88, y: 100 - height(n, tallest), height: height(n, tallest) });
  const rects = [...Array.from(all, rect("all")), ...Array.from(passing, rect("passing"))].filter(Boolean);
  return svg("svg", { viewBox: `0 0 ${BINS} 100`, preserveAspectRatio: "none", "aria-hidden": "true" }, rects);
}

/** Of 100; a bin of one latent is still seen. */
function height(n, tallest) {
  return Math.max((n / tallest) * 100, 1.5);
}

function told({ label, tick }, scale, passing) {
  const total = passing.reduce((sum, n) => sum + n, 0);
  if (!total) return `${label} of latents. None passes the filters.`;
  const at = (share) => {
    let seen = 0;
    const bin = passing.findIndex((n) => (seen += n) >= share * total);
    return tick(scale.value((bin + 0.5) / BINS));
  };
  return `${label} of ${count(total)} latents that pass the filters: half of them between about ${at(0.25)} and ${at(0.75)}, the middle one ${at(0.5)}.`;
}
