// Finds a latent by its number or by words of its explanation: a box with a list below it, driven by the arrow keys.

import { address, get } from "../api.js";
import { fill, h } from "../dom.js";
import { percent } from "../format.js";
import { plainly } from "../tokens.js";
import { readLatent } from "./state.js";

const WAIT = 160;
const SHOWN = 8;

export class Adder {
  constructor({ run, saes, signal, add }) {
    Object.assign(this, { run, saes, signal, add, found: [], at: -1, timer: 0, asked: 0 });
    this.sae = saes[0]?.key ?? null;
    this.list = h("ul", { class: "adder__list", id: "adder-list", role: "listbox", "aria-label": "Latents found", hidden: true });
    this.box = h("input", { class: "field adder__box", type: "search", autocomplete: "off", maxlength: 200, placeholder: "Number, or words", role: "combobox", "aria-label": "Add a latent: its number, or words of its explanation", "aria-controls": "adder-list", "aria-expanded": "false", "aria-autocomplete": "list", data: { search: "" }, oninput: () => this.typed(), onkeydown: (event) => this.pressed(event), onblur: () => this.hide() });
    const pick = saes.length > 1 && h("select", { class: "field adder__sae", "aria-label": "SAE to add from", onchange: (event) => this.choose(event.target.value) }, saes.map((sae) => h("option", { value: sae.key }, sae.key)));
    this.node = h("div", { class: "adder" }, pick, this.box, this.list);
  }

  choose(sae) {
    this.sae = sae;
    this.typed();
  }

  typed() {
    clearTimeout(this.timer);
    const text = this.box.value.trim();
    if (!text) return this.hide();
    this.timer = setTimeout(() => this.search(text), WAIT);
  }

  async search(text) {
    this.asked += 1;
    const asked = this.asked;
    const named = this.named(text);
    const rows = await this.rows(text);
    if (asked !== this.asked || document.activeElement !== this.box) return;
    const first = named ? [{ ...named, words: null }] : [];
    const others = rows.filter((row) => row.latent !== named?.latent || row.sae !== named.sae);
    const same = rows.find((row) => row.latent === named?.latent && row.sae === named.sae);
    this.show([...(same ? [same] : first), ...others].slice(0, SHOWN));
  }

  async rows(text) {
    if (!this.saes.find((sae) => sae.key === this.sae)?.has_maxima) return [];
    try {
      const table = await get(address.latents(this.run, this.sae), { query: { q: text.replace(/^#/, ""), limit: SHOWN, state: "alive", sort: "score_low", order: "descending" }, signal: this.signal });
      return table.rows.map((row) => ({ sae: this.sae, latent: row.index, words: row.explanation ?? row.top_tokens.join(" "), density: row.density }));
    } catch {
      // Typing a number still works; the table's own page says what is wrong with it.
      return [];
    }
  }

  /** The latent that a text names, if this run has it. */
  named(text) {
    const item = readLatent(text, this.sae);
    const sae = item && this.saes.find(({ key }) => key === item.sae);
    return sae && item.latent < sae.n_latents ? item : null;
  }

  show(found) {
    Object.assign(this, { found, at: found.length ? 0 : -1 });
    const rows = found.map((item, i) => h("li", { role: "option", id: `adder-${i}`, class: "adder__row", onpointerdown: (event) => this.pointed(event, item) }, h("b", {}, item.latent), h("span", { class: "adder__words" }, item.words === null ? h("span", { class: "muted" }, item.sae) : plainly(item.words)), h("span", { class: "muted small" }, item.density !== undefined && percent(item.density))));
    const none = h("li", { class: "adder__row muted small", role: "option", "aria-disabled": "true" }, "Nothing found.");
    fill(this.list, found.length ? rows : none);
    this.list.hidden = false;
    this.box.setAttribute("aria-expanded", "true");
    this.mark();
  }

  hide() {
    this.asked += 1;
    clearTimeout(this.timer);
    Object.assign(this, { found: [], at: -1 });
    this.list.hidden = true;
    this.box.setAttribute("aria-expanded", "false");
    this.box.removeAttribute("aria-activedescendant");
  }

  mark() {
    [...this.list.children].forEach((row, i) => row.setAttribute("aria-selected", String(i === this.at)));
    if (this.at >= 0) this.box.setAttribute("aria-activedescendant", `adder-${this.at}`);
  }

  pressed(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.found.length) {
      event.preventDefault();
      this.at = (this.at + step + this.found.length) % this.found.length;
      this.mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const item = this.found[this.at] ?? this.named(this.box.value.trim());
      if (item) this.take(item);
    } else if (event.key === "Escape" && !this.list.hidden) {
      event.stopPropagation();
      this.hide();
    }
  }

  pointed(event, item) {
    // Before the box loses the focus, which hides the list.
    event.preventDefault();
    this.take(item);
  }

  take({ sae, latent }) {
    this.box.value = "";
    this.hide();
    this.add({ sae, latent });
  }
}
