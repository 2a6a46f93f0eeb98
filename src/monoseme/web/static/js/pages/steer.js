// The steer page: latents turned up or down, and what the model then writes, beside what it writes without.

import { address, get } from "../api.js";
import { fill, h } from "../dom.js";
import { count, plural } from "../format.js";
import { Adder } from "../steer/adder.js";
import { Author } from "../steer/author.js";
import { Board } from "../steer/board.js";
import { Chat } from "../steer/chat.js";
import { copyButton } from "../steer/copy.js";
import { Facts, LatentList } from "../steer/latents.js";
import { Legend, shadingOf } from "../steer/legend.js";
import { Settings } from "../steer/settings.js";
import { nameOf, readState, request, watchedBy, writeState } from "../steer/state.js";
import { fitting } from "../steer/units.js";
import { Words } from "../steer/words.js";
import { Writing } from "../steer/writing.js";

const NOTE_WAIT = 300;

export async function steerPage({ params, signal, router }) {
  const options = await get(address.steer(params.run), { signal });
  const page = new SteerPage({ run: params.run, options, signal, router });
  return { title: "Steer", section: "steer", keys: page.keys(), node: page.node, shown: () => page.begin() };
}

class SteerPage {
  constructor({ run, options, signal, router }) {
    Object.assign(this, { run, options, signal, router, chat: new Chat(), texts: null, timer: 0, hasChanged: false });
    this.saes = options.saes.filter((sae) => sae.why_not === null);
    this.state = readState(location.search);
    const change = (...changes) => this.change(...changes);
    this.facts = new Facts(run, this.saes, { signal, changed: () => this.drawLatents() });
    this.list = new LatentList({ run, facts: this.facts, change });
    this.adder = new Adder({ run, saes: this.saes, signal, add: (item) => this.list.add(item) });
    this.settings = new Settings({ methods: options.methods, limits: options.limits, saes: this.saes, change });
    this.legend = new Legend({ facts: this.facts, change });
    this.words = new Words({ limits: options.limits, change, go: () => this.go(), stop: () => this.author.stop(), takeBack: () => this.takeBack(), anew: () => this.anew() });
    this.author = new Author({ path: address.steer(run), signal, told: (writing) => this.tell(writing) });
    this.status = h("span", { class: "muted small", role: "status" });
    this.notice = h("div", { class: "steer__notice", role: "alert" });
    this.output = h("div", { class: "steer__output" });
    this.replay = h("div", { class: "steer__replay" });
    this.node = this.layout();
    this.draw();
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  layout() {
    const { why_no_model: whyNot, has_chat_template: hasTemplate } = this.options;
    const lacking = this.options.saes.filter((sae) => sae.why_not !== null);
    this.plain = hasTemplate === false && h("p", { class: "muted small" }, "This model's tokenizer has no chat template: turns stand after Human: and Assistant: as plain text.");
    return h(
      "div",
      { class: "steer stack", vars: { "--gap": "20px" } },
      h("div", {}, h("h1", {}, "Steer"), h("p", { class: "lead" }, "Turn latents up or down, and read what the model then writes beside what it writes without.")),
      whyNot && h("div", { class: "notice" }, h("h2", {}, "The model is not at hand"), h("p", {}, whyNot)),
      h(
        "div",
        { class: "steer__grid" },
        h(
          "aside",
          { class: "steer__side stack", "aria-label": "Settings", vars: { "--gap": "22px" } },
          h("section", { "aria-label": "Latents" }, h("h2", { class: "steer__title" }, "Latents"), this.adder.node, this.list.node, lacking.map((sae) => h("p", { class: "muted small" }, `${sae.key}: ${sae.why_not}`))),
          h("section", { "aria-label": "Method" }, h("h2", { class: "steer__title" }, "Method"), this.settings.method),
          h("section", { "aria-label": "Sampling" }, h("h2", { class: "steer__title" }, "Writing"), this.settings.sampling),
          h("section", { "aria-label": "Where" }, h("h2", { class: "steer__title" }, "Where it acts"), this.settings.places),
        ),
        h("div", { class: "steer__main" }, h("div", { class: "head" }, this.words.modes, this.status, h("div", { class: "head__end" }, copyButton("Copy link", () => this.link()))), this.above(), this.words.node, this.notice, this.below(), this.replay),
      ),
    );
  }

  /** In a chat the conversation stands above the box, as one expects; texts stand below their prompts. */
  above() {
    return (this.chatPlace = h("div", {}));
  }

  below() {
    return (this.textPlace = h("div", {}));
  }

  /** Takes up a link that holds texts which were written. */
  async begin() {
    if (!this.state.go || this.options.why_no_model) return;
    const seed = this.state.seed ?? this.state.drawn;
    if (!this.state.chat) return this.write(seed);
    for (const text of this.state.says.splice(0)) if (!(await this.say(text, seed))) break;
  }

  /** Every choice goes through here: into the state, the address and, where asked, the page. */
  change(changes, { redraws = true, keepsTexts = false } = {}) {
    const before = this.state.method;
    Object.assign(this.state, changes);
    if (this.state.method !== before || changes.latents) this.state.latents = fitting(this.state.latents, this.method, (sae) => this.facts.withMaxima.has(sae));
    if (!keepsTexts) {
      this.hasChanged = this.writings.length > 0;
      if (!this.state.chat) this.state.go = false;
    }
    if (redraws) this.draw();
    else this.retell();
    this.note();
  }

  get method() {
    return this.options.methods.find((method) => method.name === this.state.method);
  }

  get writings() {
    return this.boards.map((board) => board.writing);
  }

  get boards() {
    return this.state.chat ? this.chat.rounds.map((round) => round.board) : this.texts ? [this.texts] : [];
  }

  draw() {
    const { state } = this;
    this.settings.draw(state);
    this.words.draw(state, { nTurns: this.chat.rounds.length });
    this.words.button.disabled = Boolean(this.options.why_no_model);
    fill(state.chat ? this.textPlace : this.chatPlace);
    fill(state.chat ? this.chatPlace : this.textPlace, this.legend.node, state.chat && this.plain, this.output);
    this.drawLatents();
    this.drawBoards();
  }

  drawLatents() {
    const focused = focusOf(this.list.node);
    this.list.draw(this.state, this.method);
    refocus(this.list.node, focused);
    this.retell();
  }

  drawBoards() {
    fill(this.output, this.boards.map((board) => board.node));
    this.retell();
  }

  /** Legend, shades and status: what changes without new fields. */
  retell() {
    const focused = focusOf(this.legend.node);
    this.legend.draw(this.state, this.shading());
    refocus(this.legend.node, focused);
    for (const board of this.boards) board.draw();
    this.words.tell(this.state, this.author.isWriting);
    if (!this.author.isWriting) this.tellStatus(this.writings.at(-1));
  }

  shading() {
    return shadingOf(this.state, this.facts, this.writings);
  }

  go() {
    if (!this.state.chat) return this.write(this.state.seed);
    const text = this.words.turn.value;
    if (!text.trim()) return this.words.turn.focus();
    this.words.turn.value = "";
    return this.say(text, this.state.seed ?? (this.chat.whole.length ? this.state.drawn : null));
  }

  async write(seed) {
    const { state } = this;
    const problem = this.problem(state.prompts);
    if (problem) return this.refuse(problem);
    const arms = this.arms();
    const writing = new Writing();
    this.texts = this.board(writing, { titles: [...state.prompts], arms, showsPrompt: true });
    await this.author.write(request(state, { words: { prompts: state.prompts }, seed, arms }), writing, this.opened(this.texts));
  }

  /** One turn of the chat; true if it was answered. */
  async say(text, seed) {
    const arms = this.arms();
    const writing = new Writing();
    const words = this.chat.words(this.state.system, text);
    const board = this.board(writing, { titles: [text], arms, showsPrompt: false });
    this.chat.add({ text, writing, board });
    await this.author.write(request(this.state, { words, seed, arms }), writing, this.opened(board));
    if (this.signal.aborted) return false;
    if (!writing.isWhole && !this.words.turn.value) this.words.turn.value = text;
    this.keepSaid();
    return writing.isWhole;
  }

  board(writing, options) {
    return new Board(writing, { ...options, shading: () => this.shading() });
  }

  opened(board) {
    this.hasChanged = false;
    fill(this.notice);
    this.drawBoards();
    board.redraw();
    return board;
  }

  /** Without anything to steer with there is only the default. */
  arms() {
    const steers = this.state.latents.length > 0 || this.method?.needs_latents === false;
    return steers ? (this.state.alone ? ["steered"] : ["default", "steered"]) : ["default"];
  }

  problem(prompts) {
    const { limits } = this.options;
    if (!prompts.length) return "There is no prompt. Type one, or several, one a line.";
    if (prompts.length > limits.max_prompts) return `There are ${count(prompts.length)} prompts; one batch takes ${limits.max_prompts} at most.`;
    return null;
  }

  refuse(message, hint = "") {
    fill(this.notice, h("div", { class: "notice notice--bad" }, h("p", {}, message), hint && h("p", { class: "small" }, hint)));
  }

  tell(writing) {
    if (writing.seed !== null && (this.state.seed === null) && this.state.drawn !== writing.seed) {
      this.state.drawn = writing.seed;
      this.settings.draw(this.state);
    }
    if (writing.isWhole || writing.seed !== null) this.state.go = true;
    if (writing.failure) this.refuse(writing.failure.message, writing.failure.hint);
    this.words.tell(this.state, this.author.isWriting);
    this.tellStatus(writing);
    this.retellLegend();
    fill(this.replay, writing.replay && this.replayLine(writing.replay));
    this.note();
  }

  retellLegend() {
    const shading = this.shading();
    if (shading.top !== this.lastTop) this.legend.draw(this.state, shading);
    this.lastTop = shading.top;
  }

  tellStatus(writing) {
    fill(this.status, this.statusText(writing));
  }

  statusText(writing) {
    if (!writing) return "";
    if (this.author.isWriting) {
      if (writing.seed !== null) return "writing…";
      return writing.ahead ? `waiting behind ${plural(writing.ahead, "other")}…` : "asking the model…";
    }
    if (this.hasChanged) return "the settings have changed since";
    const ended = writing.isWhole ? `${plural(writing.nTokens, "token")} in ${writing.seconds.toFixed(1)} s` : writing.isStopped ? "stopped" : "broken off";
    return writing.seed === null ? ended : `${ended}, seed ${writing.seed}`;
  }

  replayLine(command) {
    return [h("h2", { class: "steer__title" }, "The same on the command line"), h("div", { class: "steer__command" }, h("code", { tabindex: "0" }, command), copyButton("Copy", () => command, "Copy the command"))];
  }

  takeBack() {
    this.author.stop();
    this.words.turn.value = this.chat.takeBack();
    this.keepSaid();
    this.words.turn.focus();
  }

  anew() {
    this.author.stop();
    this.chat = new Chat();
    fill(this.replay);
    this.keepSaid();
    this.words.turn.focus();
  }

  keepSaid() {
    this.state.says = this.chat.whole.map((round) => round.text);
    this.state.go = this.state.says.length > 0;
    this.words.draw(this.state, { nTurns: this.chat.rounds.length });
    this.drawBoards();
    this.note();
  }

  /** Writes the address, but not at every move of a slider: browsers limit how often. */
  note() {
    clearTimeout(this.timer);
    if (!this.signal.aborted) this.timer = setTimeout(() => this.router.note(this.link().slice(location.origin.length)), NOTE_WAIT);
  }

  link() {
    const { query } = writeState(this.state);
    return location.origin + address.steer(this.run, query);
  }

  keys() {
    const nextColour = () => {
      const names = watchedBy(this.state).map(nameOf);
      if (names.length) this.change({ colour: names[(names.indexOf(this.shading().name) + 1) % names.length] }, { redraws: false, keepsTexts: true });
    };
    return {
      w: { run: () => this.author.isWriting || this.go(), says: "write, or say your turn" },
      s: { run: () => this.author.stop(), says: "stop writing" },
      c: { run: nextColour, says: "shade by the next latent" },
    };
  }
}

/** Which of the fields has the focus, by its place among them, so that it keeps it when they are drawn anew. */
function focusOf(node) {
  return fieldsOf(node).indexOf(document.activeElement);
}

function refocus(node, at) {
  if (at >= 0) fieldsOf(node)[Math.min(at, fieldsOf(node).length - 1)]?.focus({ preventScroll: true });
}

function fieldsOf(node) {
  return [...node.querySelectorAll("button, input, select, a[href]")];
}
