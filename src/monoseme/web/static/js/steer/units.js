// Strengths: what a unit means, where its slider ends, and with what one begins.

import { UNITS } from "./state.js";

export const UNIT_NAMES = { max: "× max", norm: "× norm", raw: "plain" };
export const UNIT_HELP = {
  max: "Multiples of the latent's largest activation in the scanned text.",
  norm: "What the latent writes, over the mean length of the activations at the site.",
  raw: "The activation itself; for orthogonal and swap, a factor.",
};
const REACH = { max: 5, norm: 2 };
const BEGIN = { max: 1, norm: 0.5, raw: 1 };
/** A method of factors: 1 leaves the text alone, 0 takes the direction out. */
const FACTORS = { orthogonal: 0, swap: 1 };

/** Units that a method takes for a latent; multiples of a maximum need one. */
export function unitsFor(method, hasMaximum) {
  const taken = method?.units.length ? method.units : UNITS;
  const units = UNITS.filter((unit) => taken.includes(unit) && (unit !== "max" || hasMaximum));
  return units.length ? units : UNITS.slice(-1);
}

/** With what a latent begins. */
export function firstStrength(method, hasMaximum) {
  const unit = unitsFor(method, hasMaximum)[0];
  return { strength: FACTORS[method?.name] ?? BEGIN[unit], unit };
}

/** The strengths as they are where the method takes their unit, else new ones. */
export function fitting(latents, method, hasMaximum) {
  return latents.map((item) => (unitsFor(method, hasMaximum(item.sae)).includes(item.unit) ? item : { ...item, ...firstStrength(method, hasMaximum(item.sae)) }));
}

/** How far the slider goes to both sides, and its step; further where the value lies beyond. */
export function reach({ strength, unit }, { method, maximum }) {
  const usual = REACH[unit] ?? (method in FACTORS ? 2 : maximum ? 5 * maximum : 50);
  const end = Number(Math.max(usual, Math.abs(strength)).toPrecision(3));
  return { end, step: unit === "raw" && !(method in FACTORS) ? Number((end / 100).toPrecision(1)) : 0.05 };
}
