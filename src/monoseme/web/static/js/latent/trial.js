// A text of one's own on the page of a latent: read by the model on the server, shaded by this latent.

import { address, get } from "../api.js";
import { fill, h } from "../dom.js";
import { activation, percent, plural } from "../format.js";
import { sequence } from "../tokens.js";

const LONGEST = 4000;

export class Trial {
  constructor(latent, here, params, state, signal) {
    Object.assign(this, { latent, here, params, state, signal });
    this.box = h("textarea", { class: "field trial__box", rows: 1, maxlength: LONGEST, placeholder: "Try your own text…", "aria-label": "A text to shade by this latent", value: state.try, onkeydown: (event) => this.typed(event), oninput: () => this.fit() });
    this.answer = h("div", { class: "trial__answer", "aria-live": "polite" });
    this.node = h(
      "section",
      { class: "trial", "aria-label": "Try your own text" },
      h("form", { class: "trial__form", onsubmit: (event) => this.submit(event) }, this.box, h("button", { class: "button", type: "submit" }, "Read it")),
      this.answer,
    );
    if (state.try) this.read();
  }

  /** For the key that leads here. */
  focus() {
    this.box.focus();
  }

  /** As high as its text, up to a few lines. */
  fit() {
    this.box.rows = Math.min(Math.max(this.box.value.split("\n").length, Math.ceil(this.box.value.length / 90)), 6);
  }

  typed(event) {
    if (event.key === "Enter" && !event.shiftKey) this.submit(event);
  }

  submit(event) {
    event.preventDefault();
    this.state.choose({ try: this.box.value });
    if (this.box.value.trim()) this.read();
    else fill(this.answer);
  }

  async read() {
    const text = this.state.try;
    this.fit();
    this.node.setAttribute("aria-busy", "true");
    if (!this.answer.hasChildNodes()) fill(this.answer, h("p", { class: "muted small" }, "Reading… The first text loads the model."));
    try {
      const trial = await get(`${this.here}/trial`, { query: { text }, signal: this.signal });
      if (text === this.state.try) this.draw(trial);
    } catch (error) {
      if (error.name !== "AbortError") fill(this.answer, h("p", { class: "small", role: "alert" }, error.message, " ", h("span", { class: "muted" }, error.hint)));
    } finally {
      this.node.removeAttribute("aria-busy");
    }
  }

  draw(trial) {
    const { latent, params } = this;
    const peak = trial.peak === null ? null : trial.values[trial.peak];
    // Shaded as the examples are; beyond the scanned maximum, or without one, by its own.
    const top = Math.max(latent.max ?? 0, Math.abs(peak ?? 0));
    const fired = trial.values.filter((value) => value).length;
    const told = peak === null ? `Silent on all of these ${plural(trial.tokens.length, "token")}.` : `Fires on ${fired} of ${plural(trial.tokens.length, "token")}, at most ${activation(peak)}${latent.max ? `, ${percent(Math.abs(peak) / latent.max)} of its maximum` : ""}.`;
    fill(
      this.answer,
      sequence(trial.tokens, trial.values, { top, peak: trial.peak, breaks: true }),
      h("p", { class: "muted small" }, told, " ", trial.truncated, " ", h("a", { href: address.prompt(params.run, params.sae, { text: this.state.try, latent: latent.index }) }, "All latents on it")),
    );
  }
}
