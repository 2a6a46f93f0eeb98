// A text of one's own: its tokens, and below them one of several views of what the SAE makes of it. Pointing previews, a click fixes.

import { address, get } from "../api.js";
import { fill, h } from "../dom.js";
import { keepingFocus } from "../focus.js";
import { plural } from "../format.js";
import { PromptForm, unread } from "../prompt/form.js";
import { LatentsView } from "../prompt/latents_view.js";
import { LayersView } from "../prompt/layers_view.js";
import { LogitsView } from "../prompt/logits_view.js";
import { queryOf, stateOf } from "../prompt/state.js";
import { shadingOf } from "../prompt/shading.js";
import { TokenStrip } from "../prompt/strip.js";
import { TimeView } from "../prompt/time_view.js";
import { visible } from "../tokens.js";

/** Name in the address, title, view, and whether the SAE has what it shows. */
const VIEWS = [
  ["latents", "Latents", LatentsView, () => true],
  ["layers", "Layers", LayersView, (views) => views.layers.length > 0],
  ["time", "Over time", TimeView, () => true],
  ["logits", "Next token", LogitsView, (views) => views.logit_sites.length > 0],
];

/** What codes are counted in where each vector has a unit of its own. */
const UNITS = { standardised: "standard deviations", root_mean_square: "root mean squares" };

export async function promptPage({ params, query, signal, router, runs }) {
  const saes = runs.find((item) => item.id === params.run)?.saes ?? [];
  const page = new PromptPage({ ...params, saes }, query, router, signal);
  if (query.text) await page.read();
  return { title: `Prompt, ${params.sae}`, section: "prompt", keys: page.keys(), node: page.node, keepFocus: true, shown: () => !query.text && page.form.focus() };
}

class PromptPage {
  constructor({ run, sae, saes }, query, router, signal) {
    Object.assign(this, { run, sae, saes, router, signal, reading: null, view: null, answers: new Map() });
    this.state = stateOf(query);
    this.form = new PromptForm(this);
    this.answer = h("div", { class: "stack", vars: { "--gap": "22px" } });
    this.node = h(
      "div",
      { class: "stack", vars: { "--gap": "20px" } },
      h("div", {}, h("h1", {}, "Prompt"), h("p", { class: "lead" }, "One pass of the model over your text; then, for each token, the latents of ", h("b", {}, sae), " that fire.")),
      this.form.node,
      this.answer,
    );
  }

  async read() {
    try {
      this.reading = await this.ask("", {});
    } catch (error) {
      if (error.name === "AbortError") throw error;
      fill(this.answer, unread(error, "This text could not be read"));
      return;
    }
    const { tokens } = this.reading;
    this.state.chosen = this.state.chosen.filter((at) => at < tokens.length && !tokens[at].special);
    this.strip = new TokenStrip(tokens, { choose: (at, more) => this.pick(at, more), point: (at) => this.preview(at === null ? null : { chosen: [at] }) });
    this.caption = h("div", { class: "prompt__caption small", "aria-live": "off" });
    this.tabs = h("div", { class: "segments prompt__views", role: "group", "aria-label": "Views of the text" });
    this.place = h("div", {});
    fill(this.answer, this.stripPanel(), this.tabs, this.place);
    this.draw();
  }

  /** What the API says of this text under `/prompt` and `path`; the same question is asked once. */
  ask(path, query) {
    const key = `${path} ${JSON.stringify(query)}`;
    if (!this.answers.has(key)) {
      const answer = get(address.prompt(this.run, this.sae) + path, { query: { text: this.state.text, ...query }, signal: this.signal });
      this.answers.set(key, answer);
      answer.catch(() => this.answers.delete(key));
    }
    return this.answers.get(key);
  }

  /** A choice: kept in the address, so that it can be shared and taken back. */
  choose(changes) {
    Object.assign(this.state, changes);
    this.router.note(address.prompt(this.run, this.sae, queryOf(this.state)));
    keepingFocus(this.answer, () => this.draw());
  }

  pick(at, more) {
    const { chosen } = this.state;
    const others = chosen.filter((other) => other !== at);
    const isOnly = chosen.length === 1 && chosen[0] === at;
    if (more) return this.choose({ chosen: others.length < chosen.length ? others : [...chosen, at] });
    return this.choose({ chosen: isOnly ? [] : [at] });
  }

  /** Shows `changes` for as long as something is pointed at; null goes back to what was chosen. */
  preview(changes) {
    this.paintOnly(changes);
    this.view?.preview?.(changes);
  }

  /** The same on the tokens alone: for what would be redrawn under the pointer otherwise. */
  paintOnly(changes) {
    const previewed = JSON.stringify(changes);
    if (previewed === this.previewed) return;
    this.paint({ ...this.state, ...changes });
    this.previewed = previewed;
  }

  draw() {
    const views = VIEWS.filter(([, , , fits]) => fits(this.reading.views));
    const [name, , View] = views.find(([key]) => key === this.state.view) ?? views[0];
    if (this.view?.name !== name) {
      this.view = Object.assign(new View(this), { name });
      fill(this.place, this.view.node);
    }
    fill(this.tabs, views.map(([key, title], i) => h("button", { type: "button", "aria-pressed": String(key === name), "aria-keyshortcuts": String(i + 1), onclick: () => this.choose({ view: key }) }, title)));
    this.tabs.hidden = views.length < 2;
    this.view.draw();
    this.paint(this.state);
  }

  paint(shown) {
    this.previewed = null;
    const { caption, ...shading } = this.view?.shading?.(shown) ?? shadingOf(this, shown);
    this.strip.paint(shading);
    this.strip.mark(this.state.chosen);
    fill(this.caption, caption);
  }

  /** The tokens that count: all that the SAE read, or all but the first of them. */
  places() {
    const read = this.reading.tokens.flatMap((item, at) => (item.special ? [] : [at]));
    return this.state.first ? read : read.slice(1);
  }

  /** The sites that a layer may be chosen from, as the numbers in the address count them. */
  sites() {
    const { layers, logit_sites: sites } = this.reading.views;
    return layers.length ? layers : sites;
  }

  layer({ layer }) {
    const own = this.sites().indexOf(this.reading.views.site);
    return layer !== null && layer < this.sites().length ? layer : Math.max(own, 0);
  }

  /** The name under which the latents of a site were scanned, for links; null where they were not. */
  keyAt(site) {
    const { layers, name, key } = this.reading.views;
    const own = `${name}@${site}`;
    return layers.length ? (this.saes.includes(own) ? own : null) : key;
  }

  /** The last of the chosen tokens, or the last of the text. */
  position({ chosen }) {
    return chosen.at(-1) ?? this.reading.tokens.findLastIndex((item) => !item.special);
  }

  positions() {
    return this.reading.tokens.flatMap((item, at) => (item.special ? [] : [[at, `${at}  ${visible(item.text)}`]]));
  }

  stripPanel() {
    const { tokens, n_latents_fired: fired, seconds, truncated, views } = this.reading;
    const unit = views.unit === "activation" ? "" : ` · codes in ${UNITS[views.unit]} of each vector`;
    const counts = `${plural(tokens.length, "token")} · ${plural(fired, "latent")} fired · ${seconds.toFixed(2)} s${unit}`;
    return h("section", { class: "panel prompt__strip", "aria-label": "Tokens" }, this.caption, this.strip.node, h("p", { class: "muted small prompt__count" }, counts, truncated && ` · ${truncated}`));
  }

  keys() {
    const move = (step) => () => {
      if (!this.strip) return;
      const read = this.reading.tokens.flatMap((item, at) => (item.special ? [] : [at]));
      const now = read.indexOf(this.state.chosen.at(-1));
      const at = read[Math.min(Math.max(now < 0 ? (step > 0 ? 0 : read.length - 1) : now + step, 0), read.length - 1)];
      this.choose({ chosen: [at] });
      this.strip.reveal(at);
    };
    const next = { run: move(1), says: "next token" };
    const back = { run: move(-1), says: "previous token" };
    return { j: next, ArrowRight: next, k: back, ArrowLeft: back, ...this.viewKeys() };
  }

  viewKeys() {
    const shows = (i) => () => this.reading && this.tabs.children[i]?.click();
    return Object.fromEntries(["1", "2", "3", "4"].map((key, i) => [key, { run: shows(i), says: "view of the text" }]));
  }
}
