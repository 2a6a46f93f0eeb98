// Where writing is started, stopped and kept: texts on prompts, or a conversation, in each arm.

import { count } from "../format.js";
import { Author } from "./author.js";
import { Board } from "./board.js";
import { Chat } from "./chat.js";
import { request } from "./state.js";
import { Writing } from "./writing.js";

export class Desk {
  /**
   * `state` is the page's own. `told(writing)` hears what happens, `opened(board)` of texts that begin, `drawn()` of each frame,
   * `said()` when the conversation is another.
   */
  constructor({ path, options, state, signal, shading, told, opened, drawn, said }) {
    Object.assign(this, { options, state, signal, shading, opened, drawn, said, chat: new Chat(), texts: null, pending: [] });
    this.author = new Author({ path, signal, told });
  }

  get isWriting() {
    return this.author.isWriting;
  }

  get boards() {
    if (this.state.chat) return this.chat.rounds.map((round) => round.board);
    return this.texts ? [this.texts] : [];
  }

  get writings() {
    return this.boards.map((board) => board.writing);
  }

  /** The turns of the reader, those too that a link says and that have not been said yet. */
  get says() {
    return [...this.chat.whole.map((round) => round.text), ...this.pending];
  }

  /** Takes up a link to texts that were written: with the same seed they are the same. */
  async begin() {
    const seed = this.state.seed ?? this.state.drawn;
    if (!this.state.chat) return this.write(seed);
    this.pending = [...this.state.says];
    while (this.pending.length && (await this.say(this.pending.shift(), seed)));
    this.pending = [];
  }

  async write(seed = this.state.seed) {
    const { prompts } = this.state;
    const arms = this.arms();
    this.texts = this.board({ titles: [...prompts], arms, showsPrompt: true });
    await this.author.write(request(this.state, { words: { prompts }, seed, arms }), this.texts.writing, this.opened(this.texts));
  }

  /** One turn of the conversation; true if it was answered. A random seed is drawn once a conversation. */
  async say(text, seed = this.state.seed ?? (this.chat.whole.length ? this.state.drawn : null)) {
    const arms = this.arms();
    const words = this.chat.words(this.state.system, text);
    const board = this.board({ titles: [text], arms, showsPrompt: false });
    this.chat.add({ text, board });
    await this.author.write(request(this.state, { words, seed, arms }), board.writing, this.opened(board));
    if (!this.signal.aborted) this.said(board.writing.isWhole ? "" : text);
    return board.writing.isWhole && !this.signal.aborted;
  }

  board(options) {
    return new Board(new Writing(), { ...options, shading: this.shading, drawn: this.drawn });
  }

  stop() {
    this.pending = [];
    this.author.stop();
  }

  takeBack() {
    this.stop();
    this.said(this.chat.takeBack());
  }

  anew() {
    this.stop();
    this.chat = new Chat();
    this.said("");
  }

  /** Without anything to steer with there is only the default. */
  arms() {
    const method = this.options.methods.find(({ name }) => name === this.state.method);
    const steers = this.state.latents.length > 0 || method?.needs_latents === false;
    return steers ? (this.state.alone ? ["steered"] : ["default", "steered"]) : ["default"];
  }

  /** Why the prompts cannot be written on; null where they can. */
  get problem() {
    const { prompts } = this.state;
    const most = this.options.limits.max_prompts;
    if (!prompts.length) return "There is no prompt. Type one, or several, one a line.";
    if (prompts.length > most) return `There are ${count(prompts.length)} prompts; one batch takes ${most} at most.`;
    return null;
  }
}
