// What shades the points of a map: a number of each latent as one of a few levels from pale to strong, and the legend of that.

import { h } from "../dom.js";
import { activation, number, percent } from "../format.js";

export const LEVELS = 24;
const known = (as) => (value) => (Number.isFinite(value) ? as(value) : "missing");

export const COLOURS = [
  { name: "density", label: "Density", log: true, tell: known(percent) },
  { name: "score", label: "Score", tell: known((value) => number(value, 2)) },
  { name: "max", label: "Max", tell: known(activation) },
];

/** A level of 1 to LEVELS for each latent, 0 where the number is missing; the ends leave out the most extreme half percent. */
export function colouring(values, { log }) {
  const scale = (value) => (log ? Math.log10(value) : value);
  const sorted = Float32Array.from(values.filter((value) => Number.isFinite(value) && (!log || value > 0))).sort();
  const [low, high] = [0.005, 0.995].map((share) => sorted[Math.round(share * (sorted.length - 1))]);
  const range = scale(high) - scale(low) || 1;
  const level = (value) => 1 + Math.round(Math.min(Math.max((scale(value) - scale(low)) / range, 0), 1) * (LEVELS - 1));
  return { low, high, levels: Uint8Array.from(values, (value) => (Number.isFinite(value) && (!log || value > 0) ? level(value) : 0)) };
}

export function legend({ label, tell }, { low, high }) {
  return [h("span", {}, label), h("span", { class: "muted" }, tell(low)), h("span", { class: "map__ramp", "aria-hidden": "true" }), h("span", { class: "muted" }, tell(high)), h("span", { class: "muted map__without" }, h("span", { class: "map__missing", "aria-hidden": "true" }), "missing")];
}
