// A text of one's own: the latents on each of its tokens, from one forward of the model on the server.

import { address, get } from "../api.js";
import { latentLink } from "../card.js";
import { fill, h } from "../dom.js";
import { activation, count, percent, plural } from "../format.js";
import { token, visible } from "../tokens.js";

const TRIES = ["Once upon a time there was a little dog who lived in a big red house.", "“Where are you going?” asked the boy. His mother smiled and said nothing.", "The function returns a list of integers, or None if the file does not exist."];
const SORTS = [
  ["share_of_max", "Closest to own max", "Largest activation here over the largest in the scanned corpus"],
  ["max", "Strongest", "Largest activation on this text"],
  ["density", "Rarest", "Density in the scanned corpus"],
  ["n_tokens", "Most tokens", "Number of tokens of this text on which it fires"],
  ["peak", "In order of text", "Position of the token on which it is strongest"],
];
const COMMON = 0.1;
const SHOWN = 60;

export async function promptPage({ params, query, signal, router }) {
  const view = new PromptView(params, query, router, signal);
  if (query.text) await view.read();
  return { title: `Prompt, ${params.sae}`, section: "prompt", keys: view.keys(), node: view.node, keepFocus: true, shown: () => !query.text && view.box.focus() };
}

class PromptView {
  constructor({ run, sae }, query, router, signal) {
    Object.assign(this, { run, sae, router, signal });
    this.state = { text: query.text ?? "", token: whole(query.token), latent: whole(query.latent), sort: query.sort ?? SORTS[0][0], common: query.common === "1" };
    this.box = h("textarea", { class: "field prompt__box", rows: 3, maxlength: 8000, placeholder: "Type or paste some text…", "aria-label": "Text to read", data: { search: "" }, value: this.state.text, onkeydown: (event) => this.typed(event) });
    this.answer = h("div", { class: "stack", vars: { "--gap": "24px" } });
    this.node = h(
      "div",
      { class: "stack", vars: { "--gap": "22px" } },
      h("div", {}, h("h1", {}, "Prompt"), h("p", { class: "lead" }, "One pass of the model over your text; then, for each token, the latents of ", h("b", {}, sae), " that fire.")),
      h("form", { class: "prompt", onsubmit: (event) => this.submit(event) }, this.box, h("div", { class: "prompt__go" }, h("button", { class: "button button--main", type: "submit" }, "Read it"), h("span", { class: "muted small prompt__hint" }, h("kbd", {}, "Ctrl"), " ", h("kbd", {}, "Enter")), this.state.text ? null : this.tries())),
      this.answer,
    );
  }

  tries() {
    return h("span", { class: "tries" }, h("span", { class: "muted small" }, "or try"), TRIES.map((text) => h("a", { class: "small", href: address.prompt(this.run, this.sae, { text }) }, `${text.slice(0, 30)}…`)));
  }

  typed(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.submit(event);
  }

  submit(event) {
    event.preventDefault();
    const text = this.box.value;
    if (text.trim()) this.router.go(address.prompt(this.run, this.sae, { text }));
  }

  async read() {
    try {
      this.reading = await get(address.prompt(this.run, this.sae), { query: { text: this.state.text }, signal: this.signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      fill(this.answer, h("div", { class: "notice notice--bad", role: "alert" }, h("h2", {}, error.status === 409 ? "The model is not at hand" : "This text could not be read"), h("p", {}, error.message), error.hint && h("p", { class: "small" }, error.hint)));
      return;
    }
    this.byIndex = new Map(this.reading.latents.map((latent) => [latent.index, latent]));
    this.draw();
  }

  /** A choice: kept in the address so that it can be shared and taken back. */
  choose(changes) {
    Object.assign(this.state, changes);
    const { text, token: at, latent, sort, common } = this.state;
    this.router.note(address.prompt(this.run, this.sae, { text, token: at, latent, sort: sort === SORTS[0][0] ? null : sort, common: common ? "1" : null }));
    this.draw();
  }

  draw() {
    const { reading } = this;
    const focused = document.activeElement?.closest?.("[data-at]")?.dataset.at;
    fill(this.answer, this.stripPanel(), reading.truncated && h("p", { class: "muted small" }, reading.truncated), h("div", { class: "prompt__lists" }, this.latentList(), this.tokenPanel()));
    if (focused !== undefined) this.answer.querySelector(`[data-at="${focused}"]`)?.focus();
  }

  stripPanel() {
    const { tokens } = this.reading;
    const { latent } = this.state;
    const chosen = this.byIndex.get(latent);
    const values = tokens.map((item) => (latent === null ? null : (item.firings.find((firing) => firing.latent === latent)?.value ?? 0)));
    const loads = tokens.map((item) => Math.max(0, ...item.firings.map((firing) => this.share(firing))));
    const top = latent === null ? 1 : Math.max(...values.map(Math.abs), 1e-9);
    const buttons = tokens.map((item, i) => [
      // Squared, because most tokens bring some latent halfway to its maximum.
      token(item.text, latent === null ? loads[i] ** 2 : values[i], {
        top,
        says: latent === null && loads[i] > 0 ? `${Math.round(loads[i] * 100)} % of a latent's maximum` : null,
        tag: "button",
        peak: chosen?.peak === i,
        props: { type: "button", class: `tok tok--pick${item.special ? " tok--special" : ""}`, "data-at": i, "aria-pressed": String(this.state.token === i), disabled: item.special, onclick: () => this.choose({ token: this.state.token === i ? null : i }) },
      }),
      // A line break inside a button would make it two lines high.
      item.text.includes("\n") ? "\n" : null,
    ]);
    const caption =
      latent === null
        ? "Shaded by how close any latent comes to its own maximum. Choose a token to see what fires on it, or a latent to shade the text by it."
        : ["Shaded by ", latentLink(this.run, this.sae, latent, `latent ${latent}`), chosen?.explanation && `: ${chosen.explanation}`, chosen ? "" : " (it does not fire here)"];
    return h(
      "section",
      { class: "panel", "aria-label": "Tokens" },
      h("div", { class: "prompt__caption small" }, h("span", {}, caption), latent !== null && h("button", { class: "button button--plain", type: "button", onclick: () => this.choose({ latent: null }) }, "clear")),
      h("div", { class: "strip strip--large" }, buttons),
      h("p", { class: "muted small prompt__count" }, `${plural(tokens.length, "token")} · ${plural(this.reading.n_latents_fired, "latent")} fired · ${this.reading.seconds.toFixed(2)} s`),
    );
  }

  /** A firing over the latent's largest in the corpus; 0 for one that fires everywhere or was never scanned. */
  share({ latent, value }) {
    const known = this.byIndex.get(latent);
    if (!known?.share_of_max || known.density > COMMON) return 0;
    return (value / known.max) * known.share_of_max;
  }

  latentList() {
    const { sort, common } = this.state;
    const hidden = this.reading.latents.filter((item) => (item.density ?? 0) > COMMON).length;
    const list = this.reading.latents.filter((item) => common || (item.density ?? 0) <= COMMON).sort(order(sort));
    const top = Math.max(...list.map((item) => Math.abs(item.max)), 1e-9);
    const picker = h("select", { class: "field", "aria-label": "Order of latents", onchange: (event) => this.choose({ sort: event.target.value }) }, SORTS.map(([key, title, tip]) => h("option", { value: key, title: tip, selected: key === sort }, title)));
    return h(
      "section",
      { "aria-label": "Latents on this text" },
      h("div", { class: "head" }, h("h2", {}, "Latents on this text"), h("div", { class: "head__end" }, picker)),
      h("div", { class: "panel panel--flush" }, list.length ? h("ol", { class: "fired" }, listHead(), list.slice(0, SHOWN).map((item) => this.latentRow(item, item.max, top))) : h("div", { class: "empty" }, h("p", {}, "No latent fired."))),
      h("p", { class: "small muted prompt__more" }, list.length > SHOWN && `The first ${SHOWN} of ${count(list.length)}. `, hidden > 0 && [`${plural(hidden, "latent")} that ${hidden === 1 ? "fires" : "fire"} on more than 10 % of all text ${common ? "shown" : "hidden"}. `, h("button", { type: "button", class: "linkish", onclick: () => this.choose({ common: !common }) }, common ? "Hide" : "Show")]),
    );
  }

  tokenPanel() {
    const at = this.state.token;
    const item = this.reading.tokens[at];
    const title = item ? ["On ", h("span", { class: "chip" }, visible(item.text))] : "On one token";
    const content = item
      ? h("ol", { class: "fired" }, listHead(), item.firings.map((firing) => this.latentRow(this.byIndex.get(firing.latent) ?? { index: firing.latent, explanation: null, density: null }, firing.value, item.firings[0].value)))
      : h("div", { class: "empty" }, h("p", {}, "Choose a token above to see what fires on it."));
    return h("section", { "aria-label": "Latents on the chosen token", "data-chosen": item ? "" : null }, h("div", { class: "head" }, h("h2", {}, title), item && h("span", { class: "muted small" }, plural(item.n_firings, "latent"))), h("div", { class: "panel panel--flush" }, content));
  }

  latentRow(latent, value, top) {
    const chosen = this.state.latent === latent.index;
    return h(
      "li",
      { class: "fired__row", "data-chosen": chosen ? "" : null },
      h("button", { type: "button", class: "fired__paint", vars: { "--share": `${Math.min(Math.abs(value / top) * 100, 100).toFixed(1)}%` }, "aria-pressed": String(chosen), "aria-label": `Shade the text by latent ${latent.index}`, data: { tip: "Shade the text by this latent" }, onclick: () => this.choose({ latent: chosen ? null : latent.index }) }, activation(value)),
      h("span", { class: "fired__words" }, latentLink(this.run, this.sae, latent.index, latent.index), " ", latent.explanation ?? h("span", { class: "muted" }, "no explanation")),
      h("span", { class: "fired__facts muted small" }, latent.density !== null && percent(latent.density)),
    );
  }

  keys() {
    const move = (step) => () => {
      if (!this.reading) return;
      const at = Math.min(Math.max((this.state.token ?? (step > 0 ? -1 : this.reading.tokens.length)) + step, 0), this.reading.tokens.length - 1);
      this.choose({ token: at });
    };
    const next = { run: move(1), says: "next token" };
    const back = { run: move(-1), says: "previous token" };
    return { j: next, ArrowRight: next, k: back, ArrowLeft: back };
  }
}

function listHead() {
  return h("li", { class: "fired__row fired__head", "aria-hidden": "true" }, h("span", {}, "Activation"), h("span", {}, "Latent"), h("span", { class: "fired__facts" }, "Density"));
}

function order(sort) {
  const ascending = sort === "density" || sort === "peak";
  const key = (item) => item[sort] ?? (ascending ? Infinity : -Infinity);
  return (a, b) => (ascending ? key(a) - key(b) : key(b) - key(a)) || b.max - a.max;
}

/** A whole number out of the address, or null. */
function whole(text) {
  return /^\d+$/.test(text ?? "") ? Number(text) : null;
}
