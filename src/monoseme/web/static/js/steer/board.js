// The texts of one request: for each prompt, default and steered side by side, drawn as they come.

import { fill, h, unseen } from "../dom.js";
import { activation, percent, plural } from "../format.js";
import { plainly } from "../tokens.js";
import { copyButton } from "../copy.js";
import { LiveStrip } from "./strip.js";
import { ARMS } from "./writing.js";

const PAUSE = 50;
const ENDS = { end: "ended by itself", length: "full length", stopped: "stopped", broken: "broken off" };

export class Board {
  /** `titles`: what stands above the texts of each row. `shading()` gives the latent to shade by and the top of its scale, `drawn()` hears of each frame. */
  constructor(writing, { titles, arms, showsPrompt, shading, drawn }) {
    Object.assign(this, { writing, shading, drawn, shown: null, changed: new Map(), views: new Map(), waiting: false });
    this.node = h("div", { class: "board" }, titles.map((title, row) => this.round(title, row, titles.length, { arms, showsPrompt })));
  }

  round(title, row, nRows, { arms, showsPrompt }) {
    const views = arms.map((arm) => {
      const view = new PaneView(this.writing.pane(arm, row), { label: nRows > 1 ? `${ARMS[arm]}, text ${row + 1}` : ARMS[arm], showsPrompt });
      this.views.set(view.pane, view);
      return view.node;
    });
    return h("section", { class: "round", "aria-label": title }, !showsPrompt && h("p", { class: "round__said" }, unseen("You: "), plainly(title)), h("div", { class: "round__panes", data: { panes: arms.length } }, views));
  }

  /** Notes that a token changed; the page is drawn a few times a second, however many come. */
  touch({ pane, place }) {
    if (!this.changed.has(pane)) this.changed.set(pane, new Set());
    if (place !== undefined) this.changed.get(pane).add(place);
    if (this.waiting) return;
    this.waiting = true;
    setTimeout(() => requestAnimationFrame(() => this.draw()), PAUSE);
  }

  draw() {
    this.waiting = false;
    const shading = this.shading(this.writing);
    const all = shading.name !== this.shown?.name || shading.top !== this.shown?.top;
    for (const [pane, view] of this.views) {
      if (!all && !this.changed.has(pane)) continue;
      view.strip.draw(shading, all ? undefined : this.changed.get(pane));
      view.tell(shading, this.writing);
    }
    this.shown = shading;
    this.changed.clear();
    this.drawn();
  }

  /** Draws everything, also what did not change. */
  redraw() {
    this.shown = null;
    this.draw();
  }
}

class PaneView {
  constructor(pane, { label, showsPrompt }) {
    this.pane = pane;
    this.strip = new LiveStrip(pane, { label: `${label} text`, showsPrompt });
    this.status = h("span", { class: "muted small" }, "waiting");
    this.facts = h("p", { class: "pane__facts muted small" });
    const copy = copyButton("Copy", () => pane.text, `Copy the ${label.toLowerCase()} text`);
    this.node = h("section", { class: `pane pane--${pane.arm}`, "aria-label": label }, h("div", { class: "pane__head" }, h("h3", {}, ARMS[pane.arm]), this.status, copy), this.strip.node, this.facts);
  }

  tell({ name }, writing) {
    const { pane } = this;
    this.strip.node.setAttribute("aria-busy", String(pane.isOpen));
    this.node.toggleAttribute("data-open", pane.isOpen);
    const n = plural(pane.nWritten, "token");
    fill(this.status, pane.isOpen ? (pane.tokens.length ? `writing, ${n}` : "waiting") : `${n}, ${ENDS[pane.reason] ?? pane.reason}`);
    fill(this.facts, latentFacts(pane, name), !pane.isOpen && partingFacts(pane, writing));
  }
}

function latentFacts(pane, name) {
  const found = name && pane.summary(name);
  if (!found) return null;
  if (!found.nFired) return `${name} does not fire on the new tokens. `;
  return `${name} fires on ${percent(found.nFired / found.n)} of the new tokens, mean ${activation(found.mean)}, at most ${activation(found.max)}. `;
}

function partingFacts(pane, writing) {
  const other = pane.arm === "steered" && writing.panes.get(`default ${pane.row}`);
  if (!other || other.isOpen) return null;
  const shared = pane.sharedWith(other);
  if (shared === pane.nWritten && shared === other.nWritten) return "The same text as without steering.";
  return shared ? `The first ${plural(shared, "token")} as without steering.` : "Differs from the first token on.";
}
