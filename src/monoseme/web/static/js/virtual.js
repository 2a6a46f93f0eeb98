// Rows of one height in a box that scrolls, of which only those in sight are in the page. A million cost as much as fifty.

const AHEAD = 6;
// Browsers draw nothing below some ten million pixels, so a taller table is scrolled in larger steps.
const TALLEST = 8e6;

export class VirtualRows {
  /**
   * `box` scrolls, `body` in it is as tall as all rows, `height()` gives that of one in pixels, `head()` that of what sticks on top.
   * `draw(index)` makes a row; `seen({ first, last, forward })` is told what is in sight.
   */
  constructor({ box, body, height, head, draw, seen, signal }) {
    Object.assign(this, { box, body, height, head, draw, seen, total: 0, kept: null, rows: new Map(), place: 0, frame: 0 });
    box.addEventListener("scroll", () => this.soon(), { passive: true, signal });
    const watch = new ResizeObserver(() => this.soon());
    watch.observe(box);
    signal?.addEventListener("abort", () => (watch.disconnect(), cancelAnimationFrame(this.frame)));
  }

  /** Begins anew with so many rows, the given one on top. */
  reset(total, top = 0) {
    Object.assign(this, { total, kept: null });
    this.body.replaceChildren();
    this.rows.clear();
    this.measure();
    this.scrollTo(top * this.tall);
    this.render();
  }

  /** Draws rows again whose content has come. */
  redraw(first, last) {
    for (const [index, row] of this.rows) {
      if (index < first || index > last) continue;
      const hadFocus = row.contains(document.activeElement);
      const drawn = this.draw(index);
      row.replaceWith(drawn);
      this.rows.set(index, drawn);
      this.put(index, drawn, true);
      if (hadFocus) focusOn(drawn);
    }
  }

  /** The first row that is wholly in sight. */
  get top() {
    return this.total ? Math.min(Math.ceil(this.place / this.tall - 0.01), this.total - 1) : 0;
  }

  /** Rows that fit the box (count). */
  get fitting() {
    return Math.max(Math.floor(this.room / this.tall), 1);
  }

  /** Brings a row into sight, keeps it in the page wherever one scrolls, and puts the focus on it. */
  focus(index) {
    this.kept = index;
    const offset = index * this.tall;
    if (offset < this.place) this.scrollTo(offset);
    else if (offset + this.tall > this.place + this.room) this.scrollTo(offset + this.tall - this.room);
    this.render();
    focusOn(this.rows.get(index));
  }

  soon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.measure();
      this.render();
    });
  }

  measure() {
    const tall = this.height();
    const before = this.tall ? this.place / this.tall : 0;
    const whole = this.total * tall;
    const shown = Math.min(whole, TALLEST);
    if (shown !== this.shown) this.body.style.setProperty("--tall", `${shown}px`);
    this.shown = shown;
    // After its content has its height, to which a short table shrinks the box.
    this.room = Math.max(this.box.clientHeight - this.head(), tall);
    this.stretch = shown > this.room ? (whole - this.room) / (shown - this.room) : 1;
    const turned = this.tall !== undefined && this.tall !== tall;
    this.tall = tall;
    if (turned) this.scrollTo(before * tall);
  }

  scrollTo(place) {
    this.box.scrollTop = place / this.stretch;
  }

  render() {
    const scrolled = this.box.scrollTop;
    const place = scrolled * this.stretch;
    const forward = place >= this.place;
    this.place = place;
    this.shift = scrolled - place;
    const first = Math.max(Math.floor(place / this.tall) - AHEAD, 0);
    const last = Math.min(Math.ceil((place + this.room) / this.tall) + AHEAD, this.total - 1);
    for (const [index, row] of this.rows) if ((index < first || index > last) && index !== this.kept) this.drop(index, row);
    for (let index = first; index <= last; index += 1) this.have(index);
    if (this.kept !== null && this.kept < this.total) this.have(this.kept);
    for (const [index, row] of this.rows) this.put(index, row);
    this.seen({ first, last, forward });
  }

  have(index) {
    if (this.rows.has(index)) return;
    const row = this.draw(index);
    this.rows.set(index, row);
    this.put(index, row, true);
    // In the order of their numbers, which is the order of reading.
    const after = this.rows.get(index + 1) ?? [...this.body.children].find((other) => Number(other.dataset.row) > index) ?? null;
    this.body.insertBefore(row, after);
  }

  drop(index, row) {
    row.remove();
    this.rows.delete(index);
  }

  put(index, row, isNew = false) {
    const y = Math.round(index * this.tall + this.shift);
    if (isNew || row.y !== y) row.style.setProperty("--y", `${y}px`);
    row.y = y;
  }
}

function focusOn(row) {
  (row?.querySelector("a[href]") ?? row)?.focus({ preventScroll: true, focusVisible: true });
}
