// The steer page: latents turned up or down, and what the model then writes, beside what it writes without.

import { address, get } from "../api.js";
import { fill, h } from "../dom.js";
import { keepingPlace } from "../focus.js";
import { failure } from "../notice.js";
import { Adder } from "../steer/adder.js";
import { Desk } from "../steer/desk.js";
import { Facts, LatentList } from "../steer/latents.js";
import { commandLine, layout } from "../steer/layout.js";
import { Legend, shadingOf } from "../steer/legend.js";
import { Settings } from "../steer/settings.js";
import { nameOf, readState, watchedBy, writeState } from "../steer/state.js";
import { settingsText, statusText } from "../steer/status.js";
import { fitting } from "../steer/units.js";
import { Words } from "../steer/words.js";

const NOTE_WAIT = 300;
const LOADING = "Loading the model… The first time takes it a while.";
const WRITES = "write, or say your turn";

export async function steerPage({ params, signal, router }) {
  const told = h("p", { class: "lead", role: "status" }, LOADING);
  const place = h("div", {}, h("h1", {}, "Steer"), told);
  let isWanted = false;
  const want = () => {
    isWanted = true;
    fill(told, `${LOADING} It writes as soon as it can.`);
  };
  // Until the page stands, a key is remembered.
  const keys = { w: { run: want, says: WRITES } };
  const shown = async () => {
    const page = await opened({ run: params.run, signal, router, place });
    if (!page) return;
    Object.assign(keys, page.keys());
    await page.begin({ isWanted });
  };
  return { title: "Steer", section: "steer", keys, node: place, shown };
}

/** The page once the server knows what there is to steer with, which may take it as long as a model takes to load. */
async function opened({ run, signal, router, place }) {
  const failed = (error) => {
    if (!signal.aborted) fill(place, failure(error, { title: h("h1", {}, "This did not work"), more: h("button", { class: "button", type: "button", onclick: () => router.open() }, "Try again") }));
  };
  const options = await get(address.steer(run), { signal }).catch(failed);
  if (!options) return null;
  const page = new SteerPage({ run, options, signal, router });
  fill(place, page.node);
  return page;
}

class SteerPage {
  constructor({ run, options, signal, router }) {
    Object.assign(this, { run, options, signal, router, timer: 0, hasChanged: false, shown: null });
    this.state = readState(location.search);
    this.saes = options.saes.filter((sae) => sae.why_not === null);
    this.parts = this.makeParts();
    this.node = layout({ options, parts: this.parts, link: () => this.link(), signal });
    this.desk = this.makeDesk();
    this.draw();
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  makeParts() {
    const { run, options, saes, signal } = this;
    const change = (...changes) => this.change(...changes);
    const facts = (this.facts = new Facts(run, saes, { signal, changed: () => this.drawLatents() }));
    const list = new LatentList({ run, saes, facts, change });
    return {
      list,
      adder: new Adder({ run, saes, signal, add: (item) => list.add(item) }),
      settings: new Settings({ methods: options.methods, limits: options.limits, saes, change }),
      legend: new Legend({ facts, change }),
      words: new Words({ limits: options.limits, change, go: () => this.go(), stop: () => this.desk.stop(), takeBack: () => this.desk.takeBack(), anew: () => this.desk.anew() }),
      summary: h("span", { class: "muted" }),
      status: h("span", { class: "muted small", role: "status" }),
      keep: h("span", {}),
      linkNote: h("span", { class: "muted small" }),
      notice: h("div", { class: "steer__notice", role: "alert" }),
      above: h("div", { class: "steer__above" }),
      below: h("div", {}),
      output: h("div", { class: "steer__output" }),
      replay: h("div", { class: "steer__replay" }),
    };
  }

  makeDesk() {
    return new Desk({
      path: address.steer(this.run),
      options: this.options,
      state: this.state,
      signal: this.signal,
      shading: () => this.shading(),
      told: (writing) => this.tell(writing),
      opened: (board) => this.opened(board),
      drawn: () => this.drawLegend(),
      said: (text) => this.said(text),
    });
  }

  /** Writes what the address says was written; else, where that `isWanted` already, what the page holds. */
  async begin({ isWanted }) {
    if (this.state.go && !this.options.why_no_model) await this.desk.begin();
    else if (isWanted) await this.go();
  }

  /** Every choice goes through here: into the state, the address and, where asked, the page. */
  change(changes, { redraws = true, keepsTexts = false } = {}) {
    const { state } = this;
    Object.assign(state, changes);
    if ("method" in changes) state.latents = fitting(state.latents, this.method, (sae) => this.facts.withMaxima.has(sae));
    if (!keepsTexts) {
      this.hasChanged = this.desk.boards.length > 0;
      if (!state.chat) state.go = false;
    }
    if (redraws) this.draw();
    else this.retell();
    this.note();
  }

  get method() {
    return this.options.methods.find((method) => method.name === this.state.method);
  }

  draw() {
    keepingPlace(this.node, () => this.redraw());
  }

  redraw() {
    const { state, parts } = this;
    parts.settings.draw(state);
    parts.words.draw(state, { nTurns: this.desk.chat.rounds.length });
    parts.words.button.disabled = Boolean(this.options.why_no_model);
    const plain = state.chat && this.options.has_chat_template === false && h("p", { class: "muted small" }, "This model's tokenizer has no chat template: turns stand after Human: and Assistant: as plain text.");
    fill(parts.below, !state.chat && [parts.legend.node, parts.output]);
    // In a chat the conversation stands above the box, as one expects; texts stand below their prompts.
    fill(parts.above, state.chat && [parts.words.systemField, parts.legend.node, plain, parts.output]);
    fill(parts.output, this.desk.boards.map((board) => board.node));
    parts.list.draw(state, this.method);
    this.retell();
  }

  drawLatents() {
    keepingPlace(this.parts.list.node, () => this.parts.list.draw(this.state, this.method));
    this.retell();
  }

  /** Legend, shades and lines of text: what changes without new fields. */
  retell() {
    const { state, parts, desk } = this;
    this.shown = null;
    this.drawLegend();
    for (const board of desk.boards) board.draw();
    parts.words.tell(state, desk.isWriting);
    fill(parts.summary, settingsText(state));
    this.tellStatus(desk.writings.at(-1));
  }

  drawLegend() {
    const shading = this.shading();
    if (shading.name === this.shown?.name && shading.top === this.shown?.top) return;
    keepingPlace(this.parts.legend.node, () => this.parts.legend.draw(this.state, shading));
    this.shown = shading;
  }

  shading() {
    return shadingOf(this.state, this.facts, this.desk.writings);
  }

  tellStatus(writing) {
    const { isWriting } = this.desk;
    fill(this.parts.status, statusText(writing, { isWriting, hasChanged: this.hasChanged }));
    const isDrawn = !isWriting && this.state.seed === null && this.state.drawn !== null && writing;
    const keep = () => this.change({ seed: this.state.drawn }, { keepsTexts: true });
    fill(this.parts.keep, isDrawn && h("button", { type: "button", class: "linkish small", onclick: keep }, "keep this seed"));
  }

  async go() {
    const { desk, parts, state } = this;
    if (this.options.why_no_model) return;
    const turn = parts.words.turn;
    const problem = state.chat ? null : desk.problem;
    if (problem) this.refuse({ message: problem });
    else if (!state.chat) await desk.write();
    else if (turn.value.trim()) await desk.say(parts.words.takeTurn());
    else turn.focus();
  }

  opened(board) {
    this.hasChanged = false;
    fill(this.parts.notice);
    fill(this.parts.output, this.desk.boards.map((other) => other.node));
    board.redraw();
    return board;
  }

  /** How a request goes on, apart from its tokens. */
  tell(writing) {
    const { state, parts } = this;
    if (writing.seed !== null) {
      if (state.seed === null) state.drawn = writing.seed;
      state.go = true;
    }
    if (writing.failure) this.refuse(writing.failure);
    parts.words.tell(state, this.desk.isWriting);
    this.tellStatus(writing);
    fill(parts.replay, writing.replay && commandLine(writing.replay));
    this.note();
  }

  refuse(problem) {
    fill(this.parts.notice, failure(problem, { alert: false }));
  }

  /** The conversation is another: `text` is what was said and not answered, and goes back into the box. */
  said(text) {
    const { state, parts, desk } = this;
    state.says = desk.says;
    state.go = state.says.length > 0;
    if (text && !parts.words.turn.value) parts.words.turn.value = text;
    if (!desk.boards.length) fill(parts.replay);
    parts.words.draw(state, { nTurns: desk.chat.rounds.length });
    fill(parts.output, desk.boards.map((board) => board.node));
    this.retell();
    parts.words.node.scrollIntoView({ block: "nearest" });
    this.note();
  }

  /** Writes the address, but not at every move of a slider: browsers limit how often. */
  note() {
    clearTimeout(this.timer);
    if (!this.signal.aborted) this.timer = setTimeout(() => this.router.note(this.link().slice(location.origin.length)), NOTE_WAIT);
  }

  link() {
    const { query, isWhole } = writeState(this.state);
    fill(this.parts.linkNote, !isWhole && "These texts are too long for a link: it holds the settings alone.");
    return location.origin + address.steer(this.run, query);
  }

  keys() {
    const nextColour = () => {
      const names = watchedBy(this.state).map(nameOf);
      if (names.length) this.change({ colour: names[(names.indexOf(this.shading().name) + 1) % names.length] }, { redraws: false, keepsTexts: true });
    };
    return {
      w: { run: () => this.desk.isWriting || this.go(), says: WRITES },
      s: { run: () => this.desk.stop(), says: "stop writing" },
      c: { run: nextColour, says: "shade by the next latent" },
    };
  }
}
