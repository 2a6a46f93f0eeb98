// Axes of the plots: from values to shares of the axis and back, with round ticks.

/** An axis over the finite values of a column; null where there are none. A log axis leaves out what is not above zero. */
export function scaleOf(values, { log = false, low = null, high = null } = {}) {
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    if (!(log ? value > 0 : Number.isFinite(value))) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (least > most) return null;
  const put = log ? Math.log10 : (value) => value;
  const [from, to] = widened(put(low ?? least), put(high ?? most), log);
  const back = log ? (x) => 10 ** x : (x) => x;
  return {
    log,
    /** Share of the axis, outside of [0, 1] for what it does not reach; NaN for what it has no place for. */
    at: (value) => (put(value) - from) / (to - from),
    value: (share) => back(from + Math.min(Math.max(share, 0), 1) * (to - from)),
    ticks: log ? powers(from, to) : rounds(from, to),
  };
}

function widened(from, to, log) {
  if (from === to) return [from - 0.5, to + 0.5];
  return log ? [Math.floor(from), Math.ceil(to)] : [from, to];
}

function powers(from, to) {
  const step = Math.max(Math.ceil((to - from) / 5), 1);
  const ticks = [];
  for (let power = Math.ceil(from); power <= to; power += step) ticks.push({ value: 10 ** power, at: (power - from) / (to - from) });
  return ticks;
}

function rounds(from, to) {
  const rough = (to - from) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= rough) ?? unit;
  const ticks = [];
  for (let value = Math.ceil(from / step) * step; value <= to + step / 1e6; value += step) {
    ticks.push({ value: Number(value.toPrecision(12)), at: (value - from) / (to - from) });
  }
  return ticks;
}

/** A bound as the address has it: three digits are finer than a brush. */
export function rounded(value) {
  return String(Number(value.toPrecision(3)));
}

/** A tick of a density: a percentage as short as it goes. */
export function percentTick(value) {
  return `${Number((value * 100).toPrecision(3))}%`;
}

/** A tick of anything else. */
export function plainTick(value) {
  return String(Number(value.toPrecision(3)));
}
