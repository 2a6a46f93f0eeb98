// The table of latents as a grid: rows in sight only, one stop of the tab key, and keys that go through all of it.

import { hideCard } from "../card.js";
import { fill, h } from "../dom.js";
import { hideTip } from "../float.js";
import { VirtualRows } from "../virtual.js";
import { bodyRow, columnsOf, header, nextSort, widths } from "./cells.js";

export class LatentGrid {
  /** `pages` holds the rows, `open(latent)` goes to one, `sort(changes)` asks for another order, `moved(row)` is told what is on top. */
  constructor({ run, sae, pages, open, sort, moved, signal }) {
    Object.assign(this, { run, sae, pages, open, sort, columns: [], active: null, total: 0 });
    this.head = h("thead", { role: "rowgroup" });
    this.body = h("tbody", { role: "rowgroup" });
    this.table = h("table", { class: "latents", role: "grid", "aria-label": `Latents of ${sae}` }, this.head, this.body);
    this.node = h("div", { class: "latents__box", onpointerdown: () => hideCard() }, this.table);
    this.node.addEventListener("scroll", () => this.scrolled(moved), { passive: true, signal });
    this.node.addEventListener("focusin", (event) => this.focused(event), { signal });
    this.rows = new VirtualRows({
      box: this.node,
      body: this.body,
      height: () => Number.parseFloat(getComputedStyle(this.node).getPropertyValue("--row")) || 52,
      head: () => this.head.offsetHeight,
      draw: (index) => bodyRow(this.columns, pages.row(index), { index, run, sae, open }),
      seen: (range) => this.seen(range),
      signal,
    });
  }

  /** Shows an answer's order from a row on. */
  show(query, answer, facts, top) {
    this.total = answer.total;
    this.active = null;
    this.heads(query, answer, facts);
    this.table.setAttribute("aria-rowcount", answer.total + 1);
    this.table.setAttribute("aria-colcount", this.columns.length);
    for (const [name, value] of Object.entries(widths(this.columns))) this.node.style.setProperty(name, value);
    this.quiet = true;
    this.rows.reset(answer.total, Math.min(top, Math.max(answer.total - 1, 0)));
  }

  /** Draws the heads of the columns; `facts`, once they are there, say what further ones mean. */
  heads(query, answer, facts) {
    this.columns = columnsOf(query, { search: answer.search, columns: facts?.columns, scoreName: answer.score_name });
    const hasScores = Boolean(answer.score_name);
    fill(this.head, header(this.columns, query, { hasScores, sortBy: (column) => this.sort(nextSort(query, column, { hasScores })) }));
  }

  /** Draws rows that have come. */
  came(first, last) {
    this.rows.redraw(first, last);
    this.stop();
  }

  /** Moves the focus by so many rows. */
  move(step) {
    if (!this.total) return;
    const from = this.active ?? (step > 0 ? this.rows.top - 1 : this.rows.top);
    this.go(from + (this.active === null && Math.abs(step) > 1 ? Math.sign(step) : step));
  }

  /** Moves it by what is in sight. */
  turn(sign) {
    this.go((this.active ?? this.rows.top) + sign * this.rows.fitting);
  }

  /** Puts it on a row; Infinity is the last. */
  go(index) {
    if (!this.total) return;
    this.active = Math.min(Math.max(index, 0), this.total - 1);
    this.quiet = true;
    this.rows.focus(this.active);
    this.stop();
  }

  scrolled(moved) {
    // What the keys bring into sight keeps the card that goes with its focus.
    if (!this.quiet) {
      hideCard();
      hideTip();
    }
    this.quiet = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => moved(this.rows.top), 250);
  }

  focused(event) {
    const row = event.target.closest("[data-row]");
    if (!row) return;
    this.active = this.rows.kept = Number(row.dataset.row);
    this.stop();
  }

  seen({ first, last, forward }) {
    if (!this.total) return;
    this.pages.want(first, last, { forward, total: this.total });
    this.stop();
  }

  /** One link of the rows is reached by the tab key: that of the row last moved to, or the first in sight. */
  stop() {
    const wanted = this.active ?? this.rows.top;
    for (const [index, row] of this.rows.rows) {
      const link = row.querySelector("a[href]");
      if (link) link.tabIndex = index === wanted ? 0 : -1;
    }
  }
}
