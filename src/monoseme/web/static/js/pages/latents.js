// The table of latents: searched, filtered and sorted by the server, drawn where it is in sight; plots choose what it shows.

import { address, get } from "../api.js";
import { fill, h } from "../dom.js";
import { count, plural } from "../format.js";
import { Filters } from "../latents/filters.js";
import { LatentGrid } from "../latents/grid.js";
import { Plots } from "../latents/plots.js";
import { cleared, fromAddress, isFiltered, pageOf, plotsShown } from "../latents/query.js";
import { RowPages } from "../latents/row_pages.js";
import { sorter } from "../latents/sorter.js";
import { failure } from "../notice.js";

export async function latentsPage({ params, query, signal, router }) {
  const view = new LatentsView(params, fromAddress(query), signal, router);
  await view.load();
  return {
    title: `Latents of ${params.sae}`,
    section: "latents",
    keys: view.keys(),
    node: view.node,
    shown: () => view.shown(),
  };
}

class LatentsView {
  constructor({ run, sae }, query, signal, router) {
    Object.assign(this, { run, sae, query, signal, router, facts: null });
    const change = (changes, options) => this.change(changes, options);
    const open = (latent) => router.go(address.latent(run, sae, latent));
    this.pages = new RowPages({ ask: (offset, limit, visit) => this.ask(offset, limit, visit), came: (first, last) => this.grid.came(first, last), failed: (error) => this.fail(error) });
    this.grid = new LatentGrid({ run, sae, pages: this.pages, open, sort: change, moved: (row) => this.moved(row), signal });
    this.filters = new Filters({ change, clear: () => this.clear(), signal });
    this.plots = new Plots({ run, sae, change, open, signal });
    this.sorter = sorter({ change });
    this.summary = h("p", { class: "muted small", role: "status" });
    this.problem = h("div", { role: "alert" });
    this.toggle = h("button", { class: "button button--plain", type: "button", onclick: () => change({ plots: plotsShown(this.query) ? "off" : "on" }, { reload: false }) });
    this.panel = h("div", { class: "panel panel--flush" }, this.grid.node);
    const head = h("div", { class: "head" }, h("h1", {}, "Latents"), this.summary, h("div", { class: "head__end" }, this.sorter.node, this.toggle));
    this.node = h("div", { class: "stack latents__page", vars: { "--gap": "12px" } }, head, this.filters.node, this.plots.node, this.problem, this.panel);
    signal.addEventListener("abort", () => this.pages.stop());
  }

  /** Before the page stands: its first rows. What else it shows comes after. A query that cannot be answered can be mended on the page. */
  async load() {
    try {
      this.answer = await this.pages.begin(this.row);
    } catch (error) {
      if (![409, 422].includes(error.status)) throw error;
      this.fail(error);
    }
  }

  async shown() {
    this.drawControls();
    this.drawTable();
    try {
      this.facts = await get(`${address.latents(this.run, this.sae)}/columns`, { signal: this.signal });
      this.drawFilters();
      if (this.answer) this.grid.heads(this.query, this.answer, this.facts);
    } catch (error) {
      this.fail(error);
    }
  }

  get row() {
    return Math.max(Number.parseInt(this.query.row ?? "0", 10) || 0, 0);
  }

  ask(offset, limit, signal) {
    return get(address.latents(this.run, this.sae), { query: pageOf(this.query, offset, limit), signal });
  }

  /** Shows a change at once in the address; typing replaces it, everything else can be taken back with "back". */
  async change(changes, { replace = false, reload = true } = {}) {
    const next = { ...this.query, ...changes };
    if (reload) delete next.row;
    this.query = fromAddress(Object.fromEntries(Object.entries(next).filter(([, value]) => value !== null)));
    this.router.note(address.latents(this.run, this.sae, this.query), { replace });
    if (!reload) return this.drawControls();
    return this.reload();
  }

  async reload() {
    this.router.busy(true);
    fill(this.problem);
    this.drawControls();
    try {
      const found = await this.pages.begin(0);
      if (!found || this.signal.aborted) return;
      this.answer = found;
      this.drawTable();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.fail(error);
      this.panel.hidden = true;
    } finally {
      if (!this.signal.aborted) this.router.busy(false);
    }
  }

  clear() {
    return this.change(Object.fromEntries([...Object.keys(this.query).map((name) => [name, null]), ...Object.entries(cleared(this.query))]));
  }

  /** The place of the scroll is in the address too; "back" leaves the page and not the row. */
  moved(row) {
    if (this.signal.aborted || String(row) === (this.query.row ?? "0")) return;
    const { row: _, ...others } = this.query;
    this.query = row ? { ...others, row: String(row) } : others;
    this.router.note(address.latents(this.run, this.sae, this.query));
  }

  fail(error) {
    if (error.name === "AbortError" || this.signal.aborted) return;
    fill(this.problem, failure(error, { alert: false }));
  }

  drawFilters() {
    this.filters.update(this.query, this.facts, isFiltered(this.query));
    this.sorter.update(this.query, this.answer);
  }

  drawControls() {
    const hidden = !plotsShown(this.query);
    this.drawFilters();
    fill(this.toggle, hidden ? "Show plots" : "Hide plots");
    this.toggle.setAttribute("aria-expanded", String(!hidden));
    this.plots.update(this.query).catch((error) => this.fail(error));
  }

  drawTable() {
    const { answer } = this;
    this.panel.hidden = !answer;
    if (!answer) return;
    fill(this.summary, `${plural(answer.total, "latent")} of ${count(answer.n_latents)} in ${answer.sae} · ${count(answer.n_dead)} dead${answer.n_tokens ? ` in ${count(answer.n_tokens)} scanned tokens` : ""}`, answer.search && searched(answer));
    fill(this.panel, answer.total ? this.grid.node : this.nothing());
    if (answer.total) this.grid.show(this.query, answer, this.facts, this.row);
    this.sorter.update(this.query, answer);
  }

  nothing() {
    return h("div", { class: "empty" }, h("h2", {}, "No latent passes these filters"), h("button", { class: "button", type: "button", onclick: () => this.clear() }, "Show all"));
  }

  keys() {
    const { grid } = this;
    const next = { run: () => grid.move(1), says: "next row" };
    const back = { run: () => grid.move(-1), says: "previous row" };
    return {
      j: next,
      ArrowDown: next,
      k: back,
      ArrowUp: back,
      PageDown: { run: () => grid.turn(1), says: "a screen of rows on" },
      PageUp: { run: () => grid.turn(-1), says: "a screen of rows back" },
      Home: { run: () => grid.go(0), says: "first row" },
      End: { run: () => grid.go(Infinity), says: "last row" },
    };
  }
}

/** What a ranked search looked at. */
function searched({ total, search: { by, n_found, n_matches, n_with_codes, why_missing } }) {
  if (by !== "text") return n_found > total ? ` · ${count(n_found)} found before other filters` : null;
  const codes = why_missing ?? `the latents of ${count(n_with_codes)} of them are known`;
  return ` · ${plural(n_matches, "place")} of this text: ${codes}`;
}
