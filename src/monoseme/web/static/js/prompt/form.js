// Where the text is typed, and what is said when it cannot be read.

import { address } from "../api.js";
import { h } from "../dom.js";
import { failure } from "../notice.js";
import { queryOf } from "./state.js";

const TRIES = ["Once upon a time there was a little dog who lived in a big red house.", "“Where are you going?” asked the boy. His mother smiled and said nothing.", "The function returns a list of integers, or None if the file does not exist."];
const MAX_CHARACTERS = 8000;

export class PromptForm {
  constructor(page) {
    this.page = page;
    const { text } = page.state;
    this.box = h("textarea", { class: "field prompt__box", rows: 3, maxlength: MAX_CHARACTERS, placeholder: "Type or paste some text…", "aria-label": "Text to read", data: { search: "" }, value: text, onkeydown: (event) => this.typed(event) });
    const hint = h("span", { class: "muted small key-hint" }, h("kbd", {}, "Ctrl"), " ", h("kbd", {}, "Enter"), " · ", h("kbd", {}, "Esc"), " leaves the box, then ", h("kbd", {}, "?"), " tells the keys");
    this.node = h("form", { class: "prompt", onsubmit: (event) => this.submit(event) }, this.box, h("div", { class: "prompt__go" }, h("button", { class: "button button--main", type: "submit" }, "Read it"), hint, text ? null : this.tries()));
  }

  focus() {
    this.box.focus();
  }

  tries() {
    const { run, sae, state } = this.page;
    return h("span", { class: "tries" }, h("span", { class: "muted small" }, "or try"), TRIES.map((text) => h("a", { class: "small", href: address.prompt(run, sae, queryOf({ ...state, text })) }, `${text.slice(0, 30)}…`)));
  }

  typed(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.submit(event);
  }

  /** A new text keeps the view and the latent; tokens chosen in the old one mean nothing in it. */
  submit(event) {
    event.preventDefault();
    const { run, sae, state, router } = this.page;
    const text = this.box.value;
    if (text.trim()) router.go(address.prompt(run, sae, queryOf({ ...state, text, chosen: text === state.text ? state.chosen : [] })));
  }
}

/** The notice in the place of an answer that did not come. */
export function unread(error, title) {
  return failure(error, { title: h("h2", {}, error.status === 409 ? "The model is not at hand" : title) });
}
