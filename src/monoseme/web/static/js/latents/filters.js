// The controls over the table: what to search for and how, statements, states, roles, further columns.

import { fill, h } from "../dom.js";
import { words } from "../format.js";
import { shownOf } from "./query.js";

const WAYS = [
  ["contains", "Explanations and tokens", "e.g. dialogue, or a latent's number"],
  ["words", "Best words", "words of explanations, the best first"],
  ["meaning", "Meaning", "what it is about, in any words"],
  ["text", "Fires on a text", "a phrase of the scanned text"],
];
const STATES = [
  ["all", "All"],
  ["alive", "Alive"],
  ["dead", "Dead"],
  ["explained", "Explained"],
];
// A ranked search is work for the server; a filter is not.
const WAIT_MS = { contains: 180 };

/** The bar of controls. `change(changes, { replace })` takes what the reader does; `update(query, facts)` shows a state. */
export class Filters {
  constructor({ change, clear, signal }) {
    this.change = change;
    this.box = h("input", { class: "field", type: "search", data: { search: "" }, autocomplete: "off", maxlength: 1000, oninput: () => this.typed(), onkeydown: (event) => event.key === "Enter" && this.search() });
    this.way = h("select", { class: "field", "aria-label": "Search by", onchange: () => this.chooseWay() });
    this.statement = h("input", { class: "field mono", autocomplete: "off", spellcheck: "false", maxlength: 2000, placeholder: "density < 0.01 and max > 3", onchange: () => change({ where: this.statement.value.trim() || null }) });
    this.states = h("div", { class: "segments", role: "group", "aria-label": "Which latents" }, STATES.map(([state, title]) => h("button", { type: "button", data: { state }, onclick: () => change({ state: state === "alive" ? null : state }) }, title)));
    this.role = h("select", { class: "field", onchange: () => change({ role: this.role.value || null }) });
    this.roleLabel = h("label", { class: "label", hidden: true }, "Density on", this.role);
    this.columns = h("div", { class: "menu__list" });
    this.menu = h("details", { class: "menu" }, h("summary", { class: "button" }, "Columns"), this.columns);
    addEventListener("pointerdown", (event) => this.menu.contains(event.target) || this.menu.removeAttribute("open"), { signal });
    this.menu.addEventListener("keydown", (event) => event.key === "Escape" && this.closeMenu());
    this.clear = h("button", { class: "button button--plain", type: "button", onclick: clear }, "Clear filters");
    this.searchLabel = h("span", {});
    this.node = h(
      "div",
      { class: "filters" },
      h("div", { class: "filters__search" }, h("label", { class: "label" }, this.searchLabel, this.box), this.way),
      h("label", { class: "label filters__where" }, "Statement", this.statement),
      this.states,
      this.roleLabel,
      this.menu,
      this.clear,
    );
  }

  update(query, facts, filtered) {
    const by = query.by ?? "contains";
    if (document.activeElement !== this.box) this.box.value = query.q ?? "";
    if (document.activeElement !== this.statement) this.statement.value = query.where ?? "";
    this.drawWays(by, facts?.why_no_meaning);
    for (const button of this.states.children) button.setAttribute("aria-pressed", String(button.dataset.state === (query.state ?? "alive")));
    this.clear.hidden = !filtered;
    if (facts) this.drawFacts(query, facts);
  }

  drawWays(by, whyNoMeaning) {
    const option = ([value, title]) => h("option", { value, selected: value === by, disabled: value === "meaning" && Boolean(whyNoMeaning), title: value === "meaning" ? whyNoMeaning : null }, title);
    fill(this.way, WAYS.map(option));
    const [, title, placeholder] = WAYS.find(([value]) => value === by) ?? WAYS[0];
    fill(this.searchLabel, by === "contains" ? "Search explanations and top tokens" : `Search: ${title.toLowerCase()}`);
    this.box.placeholder = placeholder;
  }

  drawFacts(query, { roles, columns, stated }) {
    this.roleLabel.hidden = !roles.length;
    fill(this.role, [["", "all tokens"], ...roles.map((role) => [role, role])].map(([value, title]) => h("option", { value, selected: value === (query.role ?? "") }, title)));
    const chosen = shownOf(query);
    const choose = (name, on) => this.change({ show: (on ? [...chosen, name] : chosen.filter((other) => other !== name)).join(",") || null });
    const line = ({ name, definition }) => h("label", { class: "menu__line", data: definition ? { tip: definition } : {} }, h("input", { type: "checkbox", checked: chosen.includes(name), onchange: (event) => choose(name, event.target.checked) }), words(name));
    // Checking one draws the list anew, and the focus stays where it was.
    const at = [...this.columns.querySelectorAll("input")].indexOf(document.activeElement);
    fill(this.columns, columns.map(line));
    if (at >= 0) this.columns.querySelectorAll("input")[at]?.focus();
    this.menu.hidden = !columns.length;
    this.statement.dataset.tip = `Names: ${stated.join(", ")}\nJoined by and, or, not; < <= > >= = != ~ (contains); is missing`;
  }

  closeMenu() {
    this.menu.removeAttribute("open");
    this.menu.querySelector("summary").focus();
  }

  typed() {
    clearTimeout(this.timer);
    const wait = WAIT_MS[this.way.value];
    if (wait) this.timer = setTimeout(() => this.search(), wait);
    else if (!this.box.value) this.search();
  }

  search() {
    clearTimeout(this.timer);
    this.change({ q: this.box.value || null }, { replace: this.way.value === "contains" });
  }

  chooseWay() {
    const by = this.way.value;
    this.change({ by: by === "contains" ? null : by, sort: null, order: null });
    this.box.focus();
  }
}
