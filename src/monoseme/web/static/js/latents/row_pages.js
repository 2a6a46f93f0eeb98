// Rows of a long table, fetched in pages around what is in sight and kept until there are many.

const SIZE = 100;
const KEPT = 80;
// A scrollbar that is dragged passes over pages that nobody reads.
const PATIENCE_MS = 60;

export class RowPages {
  /** `ask(offset, limit, signal)` gives `{ rows, ... }`; `came(first, last)` is told which rows are there now, `failed` what went wrong. */
  constructor({ ask, came, failed }) {
    Object.assign(this, { ask, came, failed, pages: new Map(), asked: new Map(), timer: 0 });
  }

  /** The row at a place of the order; null while it is on its way. */
  row(index) {
    return this.pages.get(Math.floor(index / SIZE))?.[index % SIZE] ?? null;
  }

  /** Forgets everything and fetches the page of one row; gives the answer, or null where another beginning overtook it. */
  async begin(index = 0) {
    this.stop();
    this.pages.clear();
    const page = Math.floor(index / SIZE);
    const visit = new AbortController();
    this.asked.set(page, visit);
    const answer = await this.ask(page * SIZE, SIZE, visit.signal);
    if (this.asked.get(page) !== visit) return null;
    this.asked.delete(page);
    this.keep(page, answer.rows);
    return answer;
  }

  /** Fetches what is missing of these rows, and a page further on the way that one goes. */
  want(first, last, { forward = true, total }) {
    const from = Math.floor(first / SIZE) - (forward ? 0 : 1);
    const to = Math.floor(last / SIZE) + (forward ? 1 : 0);
    const wanted = [];
    for (let page = Math.max(from, 0); page <= to && page * SIZE < total; page += 1) wanted.push(page);
    for (const [page, visit] of this.asked) {
      if (wanted.includes(page)) continue;
      visit.abort();
      this.asked.delete(page);
    }
    const missing = wanted.filter((page) => !this.pages.has(page) && !this.asked.has(page));
    clearTimeout(this.timer);
    if (missing.length) this.timer = setTimeout(() => missing.forEach((page) => this.fetch(page)), PATIENCE_MS);
  }

  stop() {
    clearTimeout(this.timer);
    for (const visit of this.asked.values()) visit.abort();
    this.asked.clear();
  }

  async fetch(page) {
    const visit = new AbortController();
    this.asked.set(page, visit);
    try {
      const { rows } = await this.ask(page * SIZE, SIZE, visit.signal);
      if (this.asked.get(page) !== visit) return;
      this.keep(page, rows);
      this.came(page * SIZE, page * SIZE + rows.length - 1);
    } catch (error) {
      if (error.name !== "AbortError") this.failed(error);
    } finally {
      if (this.asked.get(page) === visit) this.asked.delete(page);
    }
  }

  keep(page, rows) {
    this.pages.set(page, rows);
    if (this.pages.size > KEPT) this.pages.delete(this.pages.keys().next().value);
  }
}
