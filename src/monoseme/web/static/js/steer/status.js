// One line on how writing goes.

import { plural } from "../format.js";

/** `writing` may be missing: then nothing has been written yet. */
export function statusText(writing, { isWriting, hasChanged }) {
  if (!writing) return "";
  if (isWriting) {
    if (writing.seed !== null) return "writing…";
    return writing.ahead ? `waiting behind ${plural(writing.ahead, "other")}…` : "asking the model…";
  }
  if (hasChanged) return "the settings have changed since";
  const seed = writing.seed === null ? "" : `, seed ${writing.seed}`;
  if (writing.isWhole) return `${plural(writing.nTokens, "token")} in ${writing.seconds.toFixed(1)} s${seed}`;
  return `${writing.isStopped ? "stopped" : "broken off"}${seed}`;
}

/** The settings in a few words, for where they are folded away. */
export function settingsText({ method, n, t, topP, seed, only }) {
  const chance = t === 0 ? "greedy" : `temperature ${t}${topP < 1 ? `, top-p ${topP}` : ""}`;
  const where = { all: "", prompt: ", on the prompt", generated: ", on new text" }[only];
  return `${method}${where}, ${plural(n, "token")}, ${chance}, ${seed === null ? "random seed" : `seed ${seed}`}`;
}
