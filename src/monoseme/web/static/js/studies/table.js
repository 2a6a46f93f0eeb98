// A table of a study: sorted by the server, a page of rows at a time; its order is in the address of the page.

import { get } from "../api.js";
import { fill, h } from "../dom.js";
import { keepingFocus } from "../focus.js";
import { MISSING, count, number } from "../format.js";
import { pageSteps, sortHead } from "../table_parts.js";
import { plainly } from "../tokens.js";
import { forms } from "./files.js";

const PAGE = 50;
const LONG = 60;

export class StudyTable {
  /** `state` is the query of the page, in which `NAME.sort`, `NAME.from` and `NAME.columns` are this table's; `note` changes it. */
  constructor(study, about, { state, note, signal }) {
    Object.assign(this, { study, about, signal, note });
    const own = (key) => state[`${about.name}.${key}`] ?? "";
    this.order = own("sort");
    this.offset = Math.max(0, Math.min(Number.parseInt(own("from"), 10) || 0, Math.max(0, about.n_rows - 1)));
    this.all = own("columns") === "all";
    this.body = h("div", { class: "panel panel--flush" });
    this.foot = h("div", { class: "pages" });
    this.node = h("div", {}, this.body, this.foot, forms(study, about.files));
    this.load();
  }

  /** "-name" is from the largest down. */
  get sort() {
    return this.order.replace(/^-/, "");
  }

  async load() {
    const descending = this.order.startsWith("-");
    const query = { sort: this.sort, order: descending ? "descending" : null, columns: this.all ? "all" : null, offset: this.offset || null, limit: PAGE };
    try {
      const table = await get(`/studies/${encodeURIComponent(this.study.id)}/tables/${encodeURIComponent(this.about.name)}`, { query, signal: this.signal });
      keepingFocus(this.node, () => this.draw(table));
    } catch (error) {
      if (error.name !== "AbortError") fill(this.body, h("p", { class: "empty", role: "alert" }, error.message));
    }
  }

  change(changes) {
    Object.assign(this, changes);
    const { name } = this.about;
    this.note({ [`${name}.sort`]: this.order, [`${name}.from`]: this.offset || "", [`${name}.columns`]: this.all ? "all" : "" });
    this.load();
  }

  draw(table) {
    const head = h("tr", {}, table.columns.map((column) => this.heading(column)));
    const whole = table.columns.map((_, i) => table.rows.every((row) => row[i] === null || Number.isInteger(row[i])));
    const rows = table.rows.map((row) => h("tr", {}, row.map((value, i) => cell(value, { numeric: table.columns[i].is_numeric, whole: whole[i] }))));
    fill(this.body, h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Table ${this.about.name}` }, h("table", { class: "study__table" }, h("thead", {}, head), h("tbody", {}, rows))));
    const place = { offset: table.offset, shown: table.rows.length, total: table.n_rows, size: PAGE };
    fill(this.foot, pageSteps(place, (to) => this.change({ offset: to })), this.columns(table));
  }

  heading({ name, is_numeric: numeric }) {
    const sorted = this.sort === name && this.order !== "";
    const descending = this.order.startsWith("-");
    // First the most, as one looks for the best number; then the least; then as it was written.
    const next = !sorted ? `-${name}` : descending ? name : "";
    const order = sorted ? (descending ? "descending" : "ascending") : null;
    return sortHead(name.replaceAll("_", " "), { name, order, numeric, sort: () => this.change({ order: next, offset: 0 }) });
  }

  columns({ n_hidden_columns: hidden }) {
    if (!hidden && !this.all) return null;
    return h("button", { class: "linkish", type: "button", data: { focus: "columns" }, onclick: () => this.change({ all: !this.all }) }, this.all ? "Fewer columns" : `All columns (${hidden} more)`);
  }
}

function cell(value, { numeric, whole }) {
  if (value === null) return h("td", { class: numeric ? "num muted" : "muted" }, MISSING);
  if (typeof value === "boolean") return h("td", {}, value ? "yes" : "no");
  if (typeof value === "number") return h("td", { class: "num", data: whole ? {} : { tip: String(value) } }, whole ? count(value) : number(value, 4));
  return h("td", { class: value.length > LONG ? "study__long" : "study__short" }, plainly(value));
}
