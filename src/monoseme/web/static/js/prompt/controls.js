// The controls of a view: a choice, a number, a slider with its number beside it. Moving previews, letting go fixes.

import { h } from "../dom.js";

/** A choice out of [[value, title]]. */
export function picker(label, values, chosen, choose) {
  return h("label", { class: "label" }, label, h("select", { class: "field", onchange: (event) => choose(event.target.value) }, values.map(([value, title]) => h("option", { value, selected: String(value) === String(chosen) }, title))));
}

/** A whole number from 0, or nothing. */
export function numberField(label, value, choose, { hint = "" } = {}) {
  const read = (event) => choose(/^\d+$/.test(event.target.value) ? Number(event.target.value) : null);
  return h("label", { class: "label" }, label, h("input", { class: "field control__number", type: "number", min: 0, step: 1, inputmode: "numeric", placeholder: hint, value: value ?? "", onchange: read }));
}

/** A number in a range; `choose` on letting go or typing, `preview` while it moves. */
export function slider(label, { least, most, step }, value, { choose, preview = () => {} }) {
  const typed = h("input", { class: "field control__number", type: "number", min: least, max: most, step, value, "aria-label": `${label}, as a number`, onchange: (event) => choose(within(event.target.value)) });
  const within = (text) => Math.min(Math.max(Number.parseFloat(text) || 0, least), most);
  const move = (event) => {
    typed.value = event.target.value;
    preview(within(event.target.value));
  };
  // The range wants its bounds before its value.
  const range = h("input", { type: "range", min: least, max: most, step, value, "aria-label": label, oninput: move, onchange: (event) => choose(within(event.target.value)) });
  return h("div", { class: "label" }, h("span", { "aria-hidden": "true" }, label), h("span", { class: "control__slider" }, range, typed));
}
