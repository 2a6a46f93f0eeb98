// The table of latents: sorted, searched and cut into pages by the server, so that a million latents cost as much as fifty.

import { address, get } from "../api.js";
import { latentLink } from "../card.js";
import { fill, h } from "../dom.js";
import { activation, count, number, percent, plural, rarity } from "../format.js";
import { chips } from "../tokens.js";

const PAGE = 50;
const COLUMNS = [
  { key: "index", title: "Latent", descending: false },
  { key: "explanation", title: "Explanation", descending: false },
  { key: "score", title: "Score", descending: true, numeric: true },
  { key: null, title: "Top tokens" },
  { key: "density", title: "Density", descending: true, numeric: true },
  { key: "max", title: "Max", descending: true, numeric: true },
];
const TIPS = {
  "Top tokens": "The tokens of its strongest examples, strongest first",
  Density: "Share of scanned tokens on which it is not zero",
  Max: "Largest activation on the scanned text",
};
// The best explained first: the table is a place to begin, and those are the latents one can read.
const DEFAULTS = { sort: "score", order: "descending", q: "", state: "alive", offset: 0 };
const STATES = [
  ["all", "All"],
  ["alive", "Alive"],
  ["dead", "Dead"],
  ["explained", "Explained"],
];

export async function latentsPage({ params, query, signal, router }) {
  const view = new LatentTable(params, query, signal, router);
  await view.load();
  return {
    title: `Latents of ${params.sae}`,
    section: "latents",
    keys: view.keys(),
    node: view.node,
  };
}

class LatentTable {
  constructor({ run, sae }, query, signal, router) {
    Object.assign(this, { run, sae, signal, router, active: -1, asked: 0 });
    this.query = { ...DEFAULTS, ...query };
    this.query.offset = Number(this.query.offset) || 0;
    this.summary = h("span", { class: "muted small", role: "status" });
    this.body = h("div", { class: "panel panel--flush" });
    this.pager = h("nav", { class: "pager", "aria-label": "Pages of the table" });
    this.node = h("div", { class: "stack", vars: { "--gap": "16px" } }, h("div", { class: "head" }, h("h1", {}, "Latents"), this.summary), this.filters(), this.body, this.pager);
  }

  /** Shows a change at once in the address; typing replaces it, everything else can be taken back with "back". */
  async change(changes, { replace = false } = {}) {
    this.query = { ...this.query, offset: 0, ...changes };
    const { run, sae, query } = this;
    const told = { ...query, offset: query.offset || null };
    if (query.sort === DEFAULTS.sort && query.order === DEFAULTS.order) told.sort = told.order = null;
    if (query.state === DEFAULTS.state) told.state = null;
    this.router.note(address.latents(run, sae, told), { replace });
    this.router.busy(true);
    try {
      await this.load();
    } catch (error) {
      if (error.name !== "AbortError") fill(this.body, h("div", { class: "notice notice--bad", role: "alert" }, h("p", {}, error.message), error.hint && h("p", { class: "small" }, error.hint)));
    } finally {
      this.router.busy(false);
    }
  }

  async load() {
    const asked = ++this.asked;
    const table = await get(address.latents(this.run, this.sae), { query: { ...this.query, limit: PAGE }, signal: this.signal });
    if (asked !== this.asked) return;
    this.table = table;
    this.active = -1;
    this.draw();
  }

  draw() {
    const { table } = this;
    fill(this.summary, `${plural(table.total, "latent")} of ${count(table.n_latents)} in ${table.sae} · ${count(table.n_dead)} dead`);
    for (const button of this.states.children) button.setAttribute("aria-pressed", String(button.dataset.state === this.query.state));
    fill(this.body, table.rows.length ? h("div", { class: "scroll" }, h("table", { class: "latents" }, this.header(), h("tbody", {}, table.rows.map((row, i) => this.row(row, i))))) : this.nothing());
    this.drawPager();
  }

  filters() {
    let timer = 0;
    const type = (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => this.change({ q: event.target.value }, { replace: true }), 180);
    };
    const bound = (name, scale) => (event) => {
      const value = Number.parseFloat(event.target.value);
      this.change({ [name]: Number.isFinite(value) ? value / scale : null });
    };
    const box = (label, name, scale, width) =>
      h("label", { class: "label" }, label, h("input", { class: `field ${width}`, inputmode: "decimal", value: this.query[name] ? Number((this.query[name] * scale).toPrecision(6)) : "", onchange: bound(name, scale) }));
    this.states = h(
      "div",
      { class: "segments", role: "group", "aria-label": "Which latents" },
      STATES.map(([state, title]) => h("button", { type: "button", data: { state }, onclick: () => this.change({ state }) }, title)),
    );
    return h(
      "div",
      { class: "filters" },
      h("label", { class: "label filters__search" }, "Search explanations and top tokens", h("input", { class: "field", type: "search", value: this.query.q, placeholder: "e.g. dialogue, or a latent's number", data: { search: "" }, oninput: type, autocomplete: "off" })),
      box("Density from, %", "density_min", 100, "field--short"),
      box("to, %", "density_max", 100, "field--short"),
      box("Score from", "score_min", 1, "field--short"),
      this.states,
    );
  }

  header() {
    const { sort, order } = this.query;
    const cell = ({ key, title, descending, numeric }) => {
      const sorted = key !== null && key === sort;
      const next = sorted ? (order === "descending" ? "ascending" : "descending") : descending ? "descending" : "ascending";
      const arrow = sorted ? (order === "descending" ? " ↓" : " ↑") : "";
      const tip = key === "score" ? (this.table.score_name || "no scores yet").replaceAll("_", " ") : TIPS[title];
      return h(
        "th",
        { scope: "col", class: numeric ? "num" : null, "aria-sort": sorted ? order : null, data: tip ? { tip } : {} },
        key ? h("button", { type: "button", class: "sort", onclick: () => this.change({ sort: key, order: next }) }, title, arrow) : title,
      );
    };
    return h("thead", {}, h("tr", {}, COLUMNS.map(cell)));
  }

  row(latent, i) {
    const dead = latent.density === 0;
    const words = latent.explanation ?? h("span", { class: "muted" }, dead ? "never fired" : "no explanation");
    const open = (event) => {
      if (!event.target.closest("a") && !String(getSelection())) this.open(i);
    };
    return h(
      "tr",
      { onclick: open, data: { row: i } },
      h("td", { class: "latents__index" }, latentLink(this.run, this.sae, latent.index, latent.index)),
      h("td", { class: "latents__words" }, words),
      h("td", { class: "num", "data-label": "score" }, number(latent.score, 2)),
      h("td", { class: "latents__tokens" }, chips(latent.top_tokens.slice(0, 5))),
      h("td", { class: "num", "data-label": "density" }, h("span", { data: { tip: rarity(latent.density) } }, percent(latent.density)), densityBar(latent.density)),
      h("td", { class: "num", "data-label": "max" }, activation(latent.max)),
    );
  }

  nothing() {
    const reset = () => this.router.go(address.latents(this.run, this.sae, { state: "all" }));
    return h("div", { class: "empty" }, h("h2", {}, "No latent passes these filters"), h("button", { class: "button", type: "button", onclick: reset }, "Show all"));
  }

  drawPager() {
    const { total, offset } = this.table;
    const last = Math.max(0, Math.ceil(total / PAGE) - 1);
    const page = Math.floor(offset / PAGE);
    const to = (target, title, label) => h("button", { class: "button", type: "button", disabled: target < 0 || target > last || target === page, onclick: () => this.turn(target), "aria-label": label }, title);
    fill(
      this.pager,
      total > 0 && [
        to(0, "«", "First page"),
        to(page - 1, "‹ Previous", null),
        h("span", { class: "muted small" }, `${count(offset + 1)}–${count(Math.min(offset + PAGE, total))} of ${count(total)}`),
        to(page + 1, "Next ›", null),
        to(last, "»", "Last page"),
      ],
    );
  }

  async turn(page) {
    await this.change({ offset: page * PAGE });
    scrollTo(0, 0);
  }

  open(i) {
    const latent = this.table.rows[i];
    if (latent) this.router.go(address.latent(this.run, this.sae, latent.index));
  }

  move(step) {
    const rows = this.body.querySelectorAll("tr[data-row]");
    if (!rows.length) return;
    this.active = Math.min(Math.max(this.active + step, 0), rows.length - 1);
    rows[this.active].querySelector("a").focus({ focusVisible: true });
    rows[this.active].scrollIntoView({ block: "nearest" });
  }

  keys() {
    const next = { run: () => this.move(1), says: "next row" };
    const back = { run: () => this.move(-1), says: "previous row" };
    return {
      j: next,
      ArrowDown: next,
      k: back,
      ArrowUp: back,
      n: { run: () => this.pager.querySelectorAll("button")[2]?.click(), says: "next page" },
      p: { run: () => this.pager.querySelectorAll("button")[1]?.click(), says: "previous page" },
    };
  }
}

/** Density on a log scale from one token in a million to every token. */
function densityBar(density) {
  const share = density > 0 ? Math.min(Math.max(1 + Math.log10(density) / 6, 0.02), 1) : 0;
  return h("span", { class: "bar-log", "aria-hidden": "true", vars: { "--share": `${(share * 100).toFixed(1)}%` } });
}
