// How to steer and how to write: the method with its options, where it acts, and how tokens are chosen.

import { fill, h } from "../dom.js";
import { term } from "../float.js";
import { follow, recipesFor } from "./recipes.js";
import { nameOf, readLatent } from "./state.js";

const ONLY = [
  ["all", "Everywhere"],
  ["prompt", "Prompt"],
  ["generated", "New text"],
];

export class Settings {
  constructor({ methods, limits, saes, change }) {
    Object.assign(this, { methods, limits, saes, change });
    this.method = h("div", { class: "settings" });
    this.places = h("div", { class: "settings" });
    this.sampling = h("div", { class: "settings settings--four" });
  }

  draw(state) {
    this.state = state;
    fill(this.method, this.methodFields());
    fill(this.places, this.placeFields());
    fill(this.sampling, this.samplingFields());
  }

  methodFields() {
    const { state, methods } = this;
    const chosen = methods.find((item) => item.name === state.method);
    const recipes = recipesFor(methods);
    const names = chosen ? methods : [...methods, { name: state.method }];
    return [
      labelled("Method", h("select", { class: "field", onchange: (event) => this.change({ method: event.target.value, options: {} }) }, names.map(({ name }) => h("option", { value: name, selected: name === state.method }, name.replaceAll("_", " "))))),
      labelled("Recipes", h("select", { class: "field", disabled: !state.latents.length, onchange: (event) => this.change(follow(recipes[event.target.value], state, methods)) }, h("option", { value: "" }, state.latents.length ? "Choose…" : "No latents yet"), recipes.map(({ title, says }, i) => h("option", { value: i, title: says }, title)))),
      h("p", { class: "settings__formula small" }, chosen ? [chosen.formula && h("code", {}, chosen.formula), " ", h("span", { class: "muted" }, chosen.summary)] : `This server has no method “${state.method}”.`),
      (chosen?.options ?? []).map((option) => this.option(option)),
    ];
  }

  option(option) {
    const { name, type, help, choices } = option;
    const value = this.state.options[name] ?? option.default;
    const set = (next) => this.change({ options: withOption(this.state.options, name, next) }, { redraws: false });
    const label = name.replaceAll("_", " ");
    if (type === "switch") return h("label", { class: "check", data: { tip: help } }, h("input", { type: "checkbox", checked: value === true, data: { tip: help }, "aria-description": help, onchange: (event) => set(event.target.checked) }), label);
    const title = term(label, help);
    if (type === "choice") return labelled(title, h("select", { class: "field", "aria-label": label, onchange: (event) => set(event.target.value) }, choices.map((choice) => h("option", { value: choice, selected: choice === value }, choice))));
    const isNumber = type === "number" || type === "integer";
    return labelled(title, h("input", { class: "field", "aria-label": label, type: isNumber ? "number" : "text", step: type === "integer" ? 1 : "any", value: value ?? "", oninput: (event) => set(isNumber ? numberOf(event.target) : event.target.value) }));
  }

  placeFields() {
    const { state } = this;
    const only = ONLY.map(([value, title]) => h("button", { type: "button", "aria-pressed": String(state.only === value), onclick: () => this.change({ only: value }) }, title));
    const fires = h("input", { class: "field", type: "text", placeholder: "any", autocomplete: "off", maxlength: 200, value: state.whileFires ? nameOf(state.whileFires) : "", onchange: () => this.takeCondition(fires) });
    return [
      h("div", { class: "segments segments--wide", role: "group", "aria-label": "Tokens to steer" }, only),
      labelled(term("From token", "Counted from 0, the prompt's tokens included. Special tokens are never steered."), numberField({ value: state.from, min: 0, max: 1e6, step: 1, placeholder: "0", name: "From token" }, (from) => this.change({ from }, { redraws: false }))),
      labelled(term("While latent fires", "Steers only on tokens on which this latent is active, such as topk:40."), named(fires, "While latent fires")),
    ];
  }

  takeCondition(box) {
    const whileFires = box.value.trim() ? readLatent(box.value, this.saes[0]?.key) : null;
    box.setCustomValidity(box.value.trim() && !whileFires ? "Write a latent as SAE:NUMBER, such as topk:40." : "");
    if (box.reportValidity()) this.change({ whileFires }, { redraws: false });
  }

  samplingFields() {
    const { state, limits } = this;
    const set = (name) => (value) => this.change({ [name]: value }, { redraws: false });
    return [
      labelled("New tokens", numberField({ value: state.n, min: 1, max: limits.max_new_tokens, step: 1, needed: true, name: "New tokens" }, set("n"))),
      labelled(term("Temperature", "How much chance the less likely tokens get; 0 always takes the likeliest."), numberField({ value: state.t, min: 0, max: 100, step: 0.1, needed: true, name: "Temperature" }, set("t"))),
      labelled(term("Top-p", "Only the likeliest tokens that together have this probability are drawn from; 1 is all of them."), numberField({ value: state.topP, min: 0.01, max: 1, step: 0.01, needed: true, name: "Top-p" }, set("topP"))),
      labelled(term("Seed", "The same seed and settings write the same text. Empty: another one each time, the same for both texts."), numberField({ value: state.seed, min: 0, max: 2 ** 31 - 1, step: 1, placeholder: "random", name: "Seed" }, set("seed"))),
    ];
  }
}

/** An empty number is left to the method. */
function numberOf(field) {
  return field.value === "" || Number.isNaN(field.valueAsNumber) ? null : field.valueAsNumber;
}

function withOption(options, name, value) {
  const pairs = Object.entries({ ...options, [name]: value });
  return Object.fromEntries(pairs.filter(([, given]) => given !== null));
}

function labelled(title, field) {
  return h(typeof title === "string" ? "label" : "div", { class: "label" }, h("span", {}, title), field);
}

function named(field, name) {
  field.setAttribute("aria-label", name);
  return field;
}

/** A number inside its bounds: what lies outside is brought back when the field is left. Null where it may be empty. */
function numberField({ value, min, max, step, placeholder, needed = false, name }, set) {
  const read = (text) => {
    if (text.trim() === "" || !Number.isFinite(Number(text))) return null;
    const inside = Math.min(Math.max(Number(text), min), max);
    return step === 1 ? Math.round(inside) : inside;
  };
  const take = (isFinal) => {
    const next = read(field.value) ?? (needed ? value : null);
    if (isFinal) field.value = next ?? "";
    set(next);
  };
  const field = h("input", { class: "field", type: "number", min, max, step: step === 1 ? 1 : "any", inputmode: "decimal", placeholder, "aria-label": name, value: value ?? "", oninput: () => take(false), onchange: () => take(true) });
  return field;
}
