// Which examples say the same as one before them, by the rule of the scan, across all lists of the page.

const SAME = 0.8;
const FEWEST = 8;

/** The examples that have a near-duplicate earlier on: at least 80 % of the tokens around the firing are the same, place by place. */
export function nearDuplicates(examples) {
  const kept = [];
  const found = new Set();
  for (const example of examples) {
    if (kept.some((before) => isSame(before, example))) found.add(example);
    else kept.push(example);
  }
  return found;
}

function isSame(a, b) {
  if (a.document === b.document && a.position === b.position) return true;
  const first = -Math.max(a.peak, b.peak);
  const last = Math.max(a.tokens.length - a.peak, b.tokens.length - b.peak);
  let same = 0;
  let places = 0;
  for (let i = first; i < last; i += 1) {
    if (i === 0) continue;
    const [left, right] = [a.tokens[a.peak + i], b.tokens[b.peak + i]];
    if (left === undefined && right === undefined) continue;
    places += 1;
    if (left === right) same += 1;
  }
  return places >= FEWEST && same >= SAME * places;
}
