// Text that grows: tokens shaded by one latent while they come, one stop of the Tab key, arrows from token to token.

import { h, unseen } from "../dom.js";
import { activation } from "../format.js";
import { shade, tokenText, visible } from "../tokens.js";

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

export class LiveStrip {
  /** `pane` holds tokens and values; the prompt is left out where `showsPrompt` is false. */
  constructor(pane, { label, showsPrompt }) {
    Object.assign(this, { pane, showsPrompt, tokens: [] });
    this.node = h("div", { class: "strip steer__strip", role: "group", "aria-label": label, onkeydown: (event) => this.step(event), onfocusin: (event) => this.stopAt(event.target) });
  }

  get from() {
    return this.showsPrompt ? 0 : this.pane.nPrompt;
  }

  /** Adds what is new, and shades the tokens at `places`, or all of them. */
  draw(shading, places = this.pane.tokens.keys()) {
    for (let place = this.from + this.tokens.length; place < this.pane.tokens.length; place += 1) this.add(place, shading);
    for (const place of places) this.paint(place, shading);
  }

  add(place, shading) {
    const text = this.pane.tokens[place];
    const given = place < this.pane.nPrompt;
    const element = h("span", { class: given ? "tok tok--given" : "tok", tabindex: this.tokens.length ? "-1" : "0" }, tokenText(text, true), unseen(""));
    this.tokens.push(element);
    this.node.append(element);
    this.paint(place, shading);
  }

  paint(place, { name, top }) {
    const element = this.tokens[place - this.from];
    if (!element) return;
    const values = this.pane.values[place] ?? {};
    const value = values[name] ?? 0;
    element.style.setProperty("--v", shade(value, top).toFixed(3));
    element.toggleAttribute("data-negative", value < 0);
    element.dataset.tip = tip(this.pane.tokens[place], values, name);
    element.lastChild.textContent = value ? ` (${activation(value)}) ` : "";
  }

  step(event) {
    const step = STEPS[event.key];
    const at = this.tokens.indexOf(event.target);
    if (step === undefined || at < 0) return;
    event.preventDefault();
    this.tokens[Math.min(Math.max(at + step, 0), this.tokens.length - 1)].focus();
  }

  stopAt(element) {
    if (!this.tokens.includes(element)) return;
    this.node.querySelector("[tabindex='0']")?.setAttribute("tabindex", "-1");
    element.setAttribute("tabindex", "0");
  }
}

/** The token, then what each watched latent did on it, the chosen one first. */
function tip(text, values, chosen) {
  const names = Object.keys(values).sort((a, b) => (b === chosen) - (a === chosen));
  const lines = names.map((name) => `${name}   ${activation(values[name])}`);
  return [visible(text), ...lines].join("\n");
}
