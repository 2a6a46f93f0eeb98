// What is written on: prompts, one a line, or the turns of a chat; and the button that starts and stops.

import { fill, h } from "../dom.js";
import { plural } from "../format.js";

const MODES = [
  [false, "Texts"],
  [true, "Chat"],
];

export class Words {
  constructor({ limits, change, go, stop, takeBack, anew }) {
    Object.assign(this, { limits, change, go, stop, takeBack, anew, isWriting: false });
    this.modes = h("div", { class: "segments", role: "group", "aria-label": "What to write" });
    this.prompts = this.area({ rows: 3, label: "Prompts, one a line", oninput: () => this.typed() });
    this.system = this.area({ rows: 1, label: "System prompt", placeholder: "What the model is told first (may be empty)", oninput: () => this.change({ system: this.system.value }, { redraws: false }) });
    this.systemField = titled("System prompt", this.system);
    this.turn = this.area({ rows: 2, label: "Your turn", placeholder: "Say something…" });
    this.count = h("span", { class: "muted small" });
    this.button = h("button", { class: "button button--main", type: "submit" }, "Write");
    this.compare = h("input", { type: "checkbox", onchange: () => this.change({ alone: !this.compare.checked }, { redraws: false }) });
    this.back = h("span", { class: "words__back" }, h("button", { type: "button", class: "linkish small", onclick: () => this.takeBack() }, "take the last turn back"), " · ", h("button", { type: "button", class: "linkish small", onclick: () => this.anew() }, "begin anew"));
    this.fields = h("div", { class: "words__fields" });
    this.node = h(
      "form",
      { class: "words", onsubmit: (event) => this.submit(event) },
      this.fields,
      h("div", { class: "words__go" }, this.button, h("span", { class: "muted small key-hint" }, h("kbd", {}, "Ctrl"), " ", h("kbd", {}, "Enter")), h("label", { class: "check" }, this.compare, "beside the default"), this.count, this.back),
    );
  }

  area({ rows, label, ...props }) {
    return h("textarea", { class: "field words__box", rows, "aria-label": label, maxlength: this.limits.max_chars, onkeydown: (event) => this.pressed(event), ...props });
  }

  draw(state, { nTurns }) {
    fill(this.modes, MODES.map(([chat, title]) => h("button", { type: "button", "aria-pressed": String(state.chat === chat), onclick: () => this.change({ chat }) }, title)));
    fill(this.fields, state.chat ? titled("Your turn", this.turn) : titled("Prompts, one a line", this.prompts));
    this.chat = state.chat;
    this.compare.checked = !state.alone;
    this.back.hidden = !state.chat || !nTurns;
    if (this.system.value !== state.system) this.system.value = state.system;
    if (linesOf(this.prompts.value).join("\n") !== state.prompts.join("\n")) this.prompts.value = state.prompts.join("\n");
    this.tell(state);
  }

  /** The parts that change while texts are written. */
  tell(state, isWriting = this.isWriting) {
    this.isWriting = isWriting;
    this.button.textContent = isWriting ? "Stop" : state.chat ? "Say it" : "Write";
    const most = this.limits.max_prompts;
    const n = state.prompts.length;
    fill(this.count, state.chat || n < 2 ? null : `${plural(n, "prompt")} as one batch${n > most ? `: ${most} at most` : ""}`);
  }

  /** The turn in the box, which is then empty. */
  takeTurn() {
    const text = this.turn.value;
    this.turn.value = "";
    return text;
  }

  typed() {
    this.change({ prompts: linesOf(this.prompts.value) }, { redraws: false });
  }

  pressed(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.submit(event);
  }

  submit(event) {
    event.preventDefault();
    if (this.isWriting) this.stop();
    else this.go();
  }
}

/** Each line that is not empty. */
function linesOf(text) {
  return text.split(/\r?\n/).filter((line) => line.trim());
}

function titled(title, field) {
  return h("label", { class: "label" }, h("span", {}, title), field);
}
