// Numbers as people read them. A missing number is a dash; its reason is shown where it is known.

export const MISSING = "–";

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(value) {
  return value === null || value === undefined ? MISSING : grouped.format(value);
}

export function plural(value, word, words = `${word}s`) {
  return `${count(value)} ${value === 1 ? word : words}`;
}

/** About `digits` significant digits, never an exponent where a plain number is as short. */
export function number(value, digits = 3) {
  if (value === null || value === undefined) return MISSING;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return minus(value.toExponential(Math.max(digits - 2, 0)).replace("e+", "e"));
  if (size >= 10 ** (digits - 1)) return minus(grouped.format(value));
  const decimals = Math.min(Math.max(digits - 1 - Math.floor(Math.log10(size)), 0), 6);
  return minus(value.toFixed(decimals));
}

/** An activation: fixed decimals, so that a column of them lines up. */
export function activation(value) {
  return value === null || value === undefined ? MISSING : minus(value.toFixed(Math.abs(value) >= 100 ? 0 : 2));
}

/** A fraction of tokens as a percentage: "1.24 %", "0.0031 %". */
export function percent(fraction) {
  if (fraction === null || fraction === undefined) return MISSING;
  if (fraction === 0) return "0 %";
  const value = fraction * 100;
  if (value < 1e-4) return "<0.0001 %";
  return `${value >= 10 ? value.toFixed(1) : value.toPrecision(value >= 1 ? 3 : 2)} %`;
}

/** One in how many tokens. */
export function rarity(fraction) {
  if (!fraction) return "never fired";
  const every = 1 / fraction;
  return every < 1.5 ? "almost every token" : `one token in ${count(every < 10 ? Math.round(every) : Number(every.toPrecision(2)))}`;
}

/** Standard errors in half of a 95 % interval. */
export const Z_95 = 1.96;

/** A value with as many decimals as its error makes meaningful, and that error: 1.96 standard errors, which is what ± means on every page. */
export function measured(value, standardError) {
  const error = standardError && Z_95 * standardError;
  if (value === null || value === undefined) return { value: MISSING, error: "" };
  if (error === null || error === undefined || error === 0) return { value: number(value, 4), error: "" };
  if (Math.abs(value) >= 1e6 || (Math.abs(value) < 1e-4 && value !== 0)) return { value: number(value, 3), error: number(error, 2) };
  // Two digits of the error, but no more than four of the value.
  const wanted = 1 - Math.floor(Math.log10(error));
  const most = 3 - Math.floor(Math.log10(Math.abs(value) || 1));
  const decimals = Math.min(Math.max(Math.min(wanted, most), 0), 6);
  const fixed = (x) => minus(x.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
  return { value: fixed(value), error: wanted > most ? number(error, 2) : fixed(error) };
}

function minus(text) {
  return text.replace("-", "−");
}

/** "ce_recovered" as words. */
export function words(name) {
  const known = { ce: "CE", kl: "KL", l0: "L0", l1: "L1", fvu: "FVU", mse: "MSE", ev: "EV", saebench: "SAEBench", mlsae: "MLSAE", tfa: "TFA", tsae: "T-SAE", tv: "total variation", fft: "FFT", lipschitz: "Lipschitz" };
  const text = name
    .split("_")
    .map((part) => known[part] ?? part)
    .join(" ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
