// Waits for work of the server that takes longer than an answer may, and says how far it is.

import { get } from "../api.js";
import { fill, h } from "../dom.js";

const EVERY = 600;

/** Asks again until the work at `path` is done or has failed; `told(answer)` hears each answer. The last one is returned. */
export async function finished(path, { query, signal, told }) {
  for (;;) {
    const answer = await get(path, { query, signal });
    told(answer);
    if (answer.progress.state === "done" || answer.progress.state === "failed") return answer;
    await pause(signal);
  }
}

function pause(signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, EVERY);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(new DOMException("left", "AbortError"))), { once: true });
  });
}

/** A line with a bar: what is being done, and the share of it that is done. */
export class ProgressLine {
  constructor(label) {
    this.words = h("span", { class: "muted small" });
    this.bar = h("progress", { class: "progress", max: 1, "aria-label": label });
    this.node = h("div", { class: "progress__line", hidden: true }, this.bar, this.words);
  }

  show({ state, stage, share, why }, suffix = "") {
    this.node.hidden = state === "done";
    this.bar.hidden = state === "failed";
    if (share === null) this.bar.removeAttribute("value");
    else this.bar.value = share;
    fill(this.words, state === "failed" ? why : `${stage}${share === null ? "" : ` ${Math.round(share * 100)} %`}${suffix}`);
  }
}
