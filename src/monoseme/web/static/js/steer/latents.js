// The latents to steer with, each with its strength as a slider and as a number, and those that are only watched.

import { card as fetchCard, address } from "../api.js";
import { latentLink } from "../card.js";
import { fill, h } from "../dom.js";
import { activation, count } from "../format.js";
import { plainly } from "../tokens.js";
import { nameOf } from "./state.js";
import { firstStrength, reach, UNIT_HELP, UNIT_NAMES, unitsFor } from "./units.js";

/** What is known of latents: asked for once, told when it is there. */
export class Facts {
  constructor(run, saes, { signal, changed }) {
    Object.assign(this, { run, signal, changed, known: new Map() });
    this.withMaxima = new Set(saes.filter((sae) => sae.has_maxima).map((sae) => sae.key));
  }

  of(item) {
    const name = nameOf(item);
    if (!this.known.has(name)) {
      this.known.set(name, null);
      if (this.withMaxima.has(item.sae)) this.ask(item, name);
    }
    return this.known.get(name);
  }

  async ask({ sae, latent }, name) {
    try {
      this.known.set(name, await fetchCard(address.latent(this.run, sae, latent), this.signal));
      this.changed();
    } catch {
      // Without its card a latent still steers; the server says so if it does not exist.
    }
  }
}

export class LatentList {
  constructor({ run, saes, facts, change }) {
    Object.assign(this, { run, saes, facts, change });
    this.node = h("ul", { class: "aims", "aria-label": "Latents" });
  }

  draw(state, method) {
    Object.assign(this, { state, method });
    const steered = state.latents.map((item) => this.row(item, true));
    const watched = state.watched.map((item) => this.row(item, false));
    const none = h("li", { class: "aims__none muted small" }, method && !method.needs_latents ? "This method needs no latents; those that you add are watched." : "None yet. Find one above, or open a latent and choose “Steer with it”.");
    fill(this.node, steered, watched, !steered.length && !watched.length && none);
  }

  row(item, isSteered) {
    const known = this.facts.of(item);
    const name = nameOf(item);
    return h(
      "li",
      { class: "aim", "aria-label": name, data: { name } },
      h(
        "div",
        { class: "aim__head" },
        latentLink(this.run, item.sae, item.latent, name),
        h("button", { type: "button", class: "linkish small", onclick: () => this.turn(item, !isSteered), data: { tip: isSteered ? "Only show its values, without steering with it" : "Give it a strength" } }, isSteered ? "only watch" : "steer with it"),
        h("button", { type: "button", class: "button button--plain button--small", "aria-label": `Remove ${name}`, onclick: () => this.remove(item) }, "✕"),
      ),
      h("p", { class: "aim__words small" }, this.lacks(item) ?? words(known)),
      isSteered && this.strength(item, known),
    );
  }

  /** Why there is no such latent; null where there is. */
  lacks({ sae, latent }) {
    const found = this.saes.find(({ key }) => key === sae);
    if (!found) return `There is no SAE “${sae}” to steer with here.`;
    return latent < found.n_latents ? null : `${sae} has latents 0 to ${count(found.n_latents - 1)}.`;
  }

  strength(item, known) {
    const name = nameOf(item);
    const maximum = known?.max ?? null;
    const { end, step } = reach(item, { method: this.method?.name, maximum });
    const told = h("span", { class: "aim__told muted small", "aria-hidden": "true" }, inActivations(item, maximum));
    const fit = unitsFor(this.method, this.facts.withMaxima.has(item.sae));
    // A unit that does not fit, out of a link, is shown as it is: the server says what is wrong with it.
    const units = fit.includes(item.unit) ? fit : [item.unit, ...fit];
    const slider = h("input", { type: "range", class: "slider", min: -end, max: end, step, "aria-label": `Strength of ${name}`, "aria-valuetext": said(item, maximum), vars: filled(item.strength, end), oninput: () => set(slider.value, typed) });
    const typed = h("input", { type: "number", class: "field field--strength", step: "any", "aria-label": `Strength of ${name} as a number`, value: item.strength, oninput: () => set(typed.value, slider) });
    slider.value = item.strength;
    const set = (text, other) => {
      const strength = Number(text);
      if (text === "" || !Number.isFinite(strength)) return;
      Object.assign(item, { strength });
      other.value = strength;
      slider.setAttribute("aria-valuetext", said(item, maximum));
      for (const [key, value] of Object.entries(filled(strength, end))) slider.style.setProperty(key, value);
      fill(told, inActivations(item, maximum));
      this.change({ latents: [...this.state.latents] }, { redraws: false });
    };
    const unit = h("select", { class: "field field--unit", "aria-label": `Unit of ${name}`, title: UNIT_HELP[item.unit], onchange: (event) => this.alter(item, converted(item, event.target.value, maximum)) }, units.map((value) => h("option", { value, title: UNIT_HELP[value], selected: value === item.unit }, UNIT_NAMES[value])));
    return h("div", { class: "aim__strength" }, slider, h("div", { class: "aim__typed" }, typed, unit, told));
  }

  alter(item, changes) {
    this.change({ latents: this.state.latents.map((other) => (other === item ? { ...item, ...changes } : other)) });
  }

  remove(item) {
    const others = (list) => list.filter((other) => other !== item);
    this.change({ latents: others(this.state.latents), watched: others(this.state.watched) });
  }

  turn(item, isSteered) {
    const { sae, latent } = item;
    this.remove(item);
    this.add({ sae, latent }, isSteered);
  }

  /** Adds a latent, unless it is there. */
  add(item, isSteered = true) {
    const state = this.state;
    if ([...state.latents, ...state.watched].some((other) => nameOf(other) === nameOf(item))) return;
    const strength = firstStrength(this.method, this.facts.withMaxima.has(item.sae));
    this.change(isSteered ? { latents: [...state.latents, { ...item, ...strength }] } : { watched: [...state.watched, item] });
  }
}

function words(known) {
  if (!known) return null;
  if (known.explanation) return plainly(known.explanation);
  return known.density === 0 ? "Never fired on the scanned text." : h("span", { class: "muted" }, "no explanation");
}

/** Where the filled part of the slider begins and ends, from its middle. */
function filled(strength, end) {
  const at = 50 + (50 * Math.max(-end, Math.min(strength, end))) / end;
  return { "--from": `${Math.min(at, 50)}%`, "--to": `${Math.max(at, 50)}%` };
}

function said(item, maximum) {
  const { strength, unit } = item;
  const words = { max: `${strength} times its maximum`, norm: `${strength} times the mean norm`, raw: `${strength}` }[unit];
  return [words, inActivations(item, maximum)].filter(Boolean).join(" ");
}

function inActivations({ strength, unit }, maximum) {
  return unit === "max" && maximum ? `= ${activation(strength * maximum)}` : null;
}

/** The same strength in another unit where that can be known; else what is usual for the unit. */
function converted(item, unit, maximum) {
  if (maximum && item.unit === "max" && unit === "raw") return { unit, strength: Number((item.strength * maximum).toPrecision(4)) };
  if (maximum && item.unit === "raw" && unit === "max") return { unit, strength: Number((item.strength / maximum).toPrecision(4)) };
  return { unit, strength: { max: 1, norm: 0.5, raw: 1 }[unit] };
}
