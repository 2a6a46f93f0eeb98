// Has one request written: events of the server into a `Writing` and onto its `Board`, until the end or until it is stopped.

import { events } from "../stream.js";

const CUT = { message: "The server ended the stream before the texts were whole.", hint: "Write it again; what had come until then is kept." };

export class Author {
  /** `told(writing)` hears of everything that is not a token: waiting, the beginning, the end. */
  constructor({ path, signal, told }) {
    Object.assign(this, { path, signal, told, own: null });
  }

  get isWriting() {
    return this.own !== null;
  }

  /** Resolves when nothing more will come; `writing.failure` says what went wrong. */
  async write(body, writing, board) {
    const own = new AbortController();
    this.own = own;
    this.told(writing);
    try {
      await this.listen(body, writing, board, AbortSignal.any([this.signal, own.signal]));
    } catch (error) {
      if (error.name === "AbortError") writing.isStopped = true;
      else writing.failure = error;
    }
    this.own = null;
    writing.close(writing.failure ? "broken" : "stopped");
    if (this.signal.aborted) return;
    board.redraw();
    this.told(writing);
  }

  async listen(body, writing, board, signal) {
    for await (const event of events(this.path, body, { signal })) {
      const touched = writing.take(event);
      if (touched) board.touch(touched);
      if (event.name === "started") board.redraw();
      if (!touched || event.name === "ended") this.told(writing);
    }
    if (!writing.isWhole && !writing.failure) writing.failure = CUT;
  }

  stop() {
    this.own?.abort();
  }
}
