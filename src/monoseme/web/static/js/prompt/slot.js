// A place on the page that waits for an answer.

import { fill, h } from "../dom.js";
import { keepingFocus } from "../focus.js";
import { unread } from "./form.js";

export class Slot {
  constructor(node) {
    this.node = node;
    this.turn = 0;
  }

  /** Draws the answer when it comes; what is there stays until then. Of two questions, only the later one's answer is drawn. */
  async show(promise, draw) {
    const turn = ++this.turn;
    this.node.setAttribute("aria-busy", "true");
    if (!this.node.firstChild) fill(this.node, h("p", { class: "muted" }, "Reading…"));
    try {
      const answer = await promise;
      if (turn === this.turn) keepingFocus(this.node, () => draw(answer));
    } catch (error) {
      if (error.name !== "AbortError" && turn === this.turn) fill(this.node, unread(error, "This could not be read"));
      if (!("hint" in error) && error.name !== "AbortError") throw error;
    } finally {
      if (turn === this.turn) this.node.setAttribute("aria-busy", "false");
    }
  }
}
