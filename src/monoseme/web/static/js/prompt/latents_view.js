// The latents on a text: those of the whole text, those of the chosen tokens, and the strongest few of every token.

import { fill, h } from "../dom.js";
import { activation, count, percent, plural } from "../format.js";
import { visible } from "../tokens.js";
import { DENSITIES, SORTS } from "./state.js";
import { firedList, gathered, rarer, sorted } from "./fired.js";
import { named } from "./named.js";

const MORE = 60;
const PER_TOKEN = 3;

export class LatentsView {
  constructor(page) {
    this.page = page;
    /** All latents of the text, with and without those of its first token alone. */
    this.known = {};
    this.whole = h("section", { "aria-label": "Latents on this text" });
    this.part = h("section", { "aria-label": "Latents on the chosen tokens" });
    this.node = h("div", { class: "prompt__lists" }, this.whole, this.part);
  }

  draw() {
    this.drawWhole();
    this.drawPart(this.page.state.chosen);
  }

  /** While a token is pointed at, its latents take the place of those of the chosen ones. */
  preview(changes) {
    const chosen = changes?.chosen ?? this.page.state.chosen;
    // A list that is drawn anew between press and release of the mouse would lose the click.
    if (chosen.join() !== this.shown) this.drawPart(chosen);
  }

  drawWhole() {
    const { page } = this;
    const { sort, density, rows } = page.state;
    const all = (this.known[page.state.first] ??= gathered(page.reading, page.places()));
    const list = sorted(rarer(all, density), sort);
    const hidden = all.length - list.length;
    fill(
      this.whole,
      h("div", { class: "head" }, h("h2", {}, "On the whole text"), h("div", { class: "head__end prompt__filters" }, this.orderPicker(), this.densityPicker(), this.firstSwitch())),
      h("div", { class: "panel panel--flush" }, list.length ? firedList(page, list.slice(0, rows), { top: strongest(list) }) : h("div", { class: "empty" }, h("p", {}, hidden ? "No latent passes the filter." : "No latent fired."))),
      h("p", { class: "small muted prompt__more" }, list.length > rows && this.furtherRows(list.length), list.length > rows && hidden > 0 && h("span", { "aria-hidden": "true" }, " · "), hidden > 0 && this.hiddenRows(hidden)),
    );
  }

  furtherRows(n) {
    const { rows } = this.page.state;
    return [`The first ${count(rows)} of ${count(n)}. `, linkish("Show more", () => this.page.choose({ rows: rows + MORE }))];
  }

  hiddenRows(n) {
    const share = percent(this.page.state.density);
    return [`${plural(n, "latent")} that ${n === 1 ? "fires" : "fire"} on more than ${share} of all text ${n === 1 ? "is" : "are"} hidden. `, linkish("Show them", () => this.page.choose({ density: 1 }))];
  }

  drawPart(chosen) {
    const { page } = this;
    this.shown = chosen.join();
    const places = chosen.filter((at) => page.reading.tokens[at] && !page.reading.tokens[at].special);
    this.part.toggleAttribute("data-chosen", places.length > 0);
    if (!places.length) return fill(this.part, this.everyToken());
    const list = sorted(gathered(page.reading, places), page.state.sort);
    const names = places.slice(0, 4).map((at) => [" ", h("span", { class: "chip" }, visible(page.reading.tokens[at].text))]);
    const title = h("h2", {}, "On", names, places.length > 4 && ` and ${places.length - 4} more`);
    const back = linkish("all tokens", () => page.choose({ chosen: [] }));
    return fill(
      this.part,
      h("div", { class: "head" }, title, h("span", { class: "muted small" }, plural(list.length, "latent")), h("div", { class: "head__end" }, back)),
      h("div", { class: "panel panel--flush" }, list.length ? firedList(page, list.slice(0, page.state.rows), { top: strongest(list) }) : h("div", { class: "empty" }, h("p", {}, "No latent fires here."))),
    );
  }

  /** The strongest few latents of each token, for reading along the text. */
  everyToken() {
    const { page } = this;
    const dense = new Set(page.reading.latents.filter((latent) => (latent.density ?? 0) > page.state.density).map((latent) => latent.index));
    const row = (at) => {
      const item = page.reading.tokens[at];
      const firings = item.firings.filter((firing) => !dense.has(firing.latent)).slice(0, PER_TOKEN);
      const linked = firings.map((firing) => h("span", { class: "by-token__latent" }, named(page, page.reading.views.key, firing.latent), " ", h("span", { class: "muted" }, activation(firing.value))));
      const pick = h("button", { type: "button", class: "chip by-token__pick", "aria-label": `Choose ${visible(item.text)}`, onclick: () => page.choose({ chosen: [at] }) }, visible(item.text));
      return h("li", { class: "by-token__row" }, pick, linked.length ? linked : h("span", { class: "muted" }, "–"));
    };
    return [
      h("div", { class: "head" }, h("h2", {}, "On each token"), h("span", { class: "muted small" }, `the ${PER_TOKEN} strongest`)),
      h("p", { class: "muted small by-token__hint" }, "Choose a token to see all that fires on it; Shift adds further ones."),
      h("ol", { class: "panel panel--flush by-token", tabindex: 0, "aria-label": "Strongest latents of each token" }, page.places().map(row)),
    ];
  }

  orderPicker() {
    const { sort } = this.page.state;
    return h("select", { class: "field", "aria-label": "Order of latents", onchange: (event) => this.page.choose({ sort: event.target.value }) }, SORTS.map(([key, title, tip]) => h("option", { value: key, title: tip, selected: key === sort }, title)));
  }

  densityPicker() {
    const { density } = this.page.state;
    const name = (most) => (most === 1 ? "Any density" : `Density ≤ ${percent(most)}`);
    return h("select", { class: "field", "aria-label": "Densest latents listed", onchange: (event) => this.page.choose({ density: Number(event.target.value) }) }, DENSITIES.map((most) => h("option", { value: most, selected: most === density }, name(most))));
  }

  /** The first token is where attention rests: models give it a large norm, and latents fire on it whatever it says. */
  firstSwitch() {
    const { first } = this.page.state;
    const tip = "Tokens that begin a text (BOS) are never read; the first word may act as one.";
    const box = h("input", { type: "checkbox", checked: !first, onchange: (event) => this.page.choose({ first: !event.target.checked }) });
    return h("label", { class: "prompt__check small", data: { tip } }, box, " ignore the first token");
  }
}

function strongest(list) {
  return Math.max(...list.map((entry) => Math.abs(entry.value)), 1e-9);
}

function linkish(text, run) {
  return h("button", { type: "button", class: "linkish", onclick: run }, text);
}
