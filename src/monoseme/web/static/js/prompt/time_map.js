// The token by latent map. Only the columns in sight are drawn, so that a text of a thousand tokens costs what a short one does.

import { fill, h, unseen } from "../dom.js";
import { hideTip, showTip } from "../float.js";
import { activation } from "../format.js";
import { onTheme } from "../theme.js";
import { shade, visible } from "../tokens.js";
import { named, said } from "./named.js";
import { largest } from "./shading.js";

const ROW = 20;
const HEADING = 26;
const [NARROW, WIDE] = [15, 30];

export class TimeMap {
  /** `energy` is what energyStripes gives, or null. */
  constructor(page, reading, energy) {
    Object.assign(this, { page, reading, chosen: page.state.chosen });
    this.lines = linesOf(reading);
    this.height = this.lines.at(-1).y + this.lines.at(-1).height;
    this.tops = new Map(reading.parts.map(({ name }) => [name, largest(reading.rows.filter((row) => row.part === name).map((row) => row.max))]));
    this.cursor = { line: this.lines.findIndex((line) => line.row), at: 0 };
    this.canvas = h("canvas", { class: "time-map__canvas", "aria-hidden": "true" });
    this.heads = reading.tokens.map((item, at) => h("button", { type: "button", tabindex: -1, class: "time-map__token", disabled: item.special, data: { tip: visible(item.text) }, onclick: () => page.pick(at, false) }, visible(item.text)));
    this.readout = h("p", { class: "time-map__readout small", "aria-live": "polite" });
    const role = { role: "application", "aria-roledescription": "map", "aria-label": "Tokens by latents; arrow keys move, Enter chooses" };
    this.scroller = h("div", { class: "time-map__scroll", tabindex: 0, ...role }, h("div", { class: "time-map__tokens" }, this.heads), energy?.bars, this.canvas);
    const labels = h("div", { class: "time-map__labels" }, h("div", { class: "time-map__corner" }), energy?.legend, this.labels());
    this.node = h("section", { "aria-label": "Latents over time" }, h("div", { class: "panel panel--flush time-map" }, labels, this.scroller), this.readout);
    this.node.style.setProperty("--map-height", `${this.height}px`);
    this.listen();
  }

  /** Begins to draw; ends when the page is left. */
  start(signal) {
    const watch = new ResizeObserver(() => this.fit());
    watch.observe(this.scroller);
    signal.addEventListener("abort", () => watch.disconnect());
    onTheme(() => this.paint(), signal);
    this.fit();
    this.mark();
  }

  labels() {
    const heading = (part) => [h("h3", {}, part), h("span", { class: "muted" }, `up to ${activation(this.tops.get(part))}`)];
    return this.lines.map(({ part, row, height }) => {
      const vars = { "--row": `${height}px` };
      return row ? h("div", { class: "time-map__label", vars, "data-latent": row.latent }, this.label(row)) : h("div", { class: "time-map__part", vars }, heading(part));
    });
  }

  label(row) {
    const peak = visible(this.reading.tokens[row.peak].text);
    return [named(this.page, row.key, row.latent), h("span", { class: "muted time-map__words" }, row.explanation !== null && said(row.explanation)), unseen(`, ${row.part}, largest ${activation(row.max)} on ${peak}`)];
  }

  fit() {
    const width = this.scroller.clientWidth;
    this.step = Math.min(Math.max(Math.floor(width / this.reading.tokens.length), NARROW), WIDE);
    this.node.style.setProperty("--step", `${this.step}px`);
    this.node.style.setProperty("--wide", `${this.step * this.reading.tokens.length}px`);
    const sharp = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: Math.round(width * sharp), height: Math.round(this.height * sharp) });
    this.canvas.style.setProperty("--seen", `${width}px`);
    this.paint();
  }

  paint() {
    const context = this.canvas.getContext("2d");
    const sharp = window.devicePixelRatio || 1;
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const left = this.scroller.scrollLeft;
    context.setTransform(sharp, 0, 0, sharp, -left * sharp, 0);
    context.clearRect(left, 0, this.canvas.width, this.canvas.height);
    context.fillStyle = colour("--sunken");
    for (const at of this.chosen) context.fillRect(at * this.step, 0, this.step, this.height);
    for (const { row, y, height } of this.lines) if (row) this.paintRow(context, row, y, height, colour);
    this.paintCursor(context, colour("--ink"));
  }

  paintRow(context, row, y, height, colour) {
    const [from, to] = [this.scroller.scrollLeft / this.step - 1, (this.scroller.scrollLeft + this.scroller.clientWidth) / this.step];
    row.positions.forEach((at, i) => {
      if (at < from || at > to) return;
      context.globalAlpha = shade(row.values[i], this.tops.get(row.part));
      context.fillStyle = colour(row.values[i] < 0 ? "--cold" : "--heat");
      context.fillRect(at * this.step + 0.5, y + 1, this.step - 1, height - 2);
    });
    context.globalAlpha = 1;
  }

  paintCursor(context, ink) {
    const line = this.lines[this.cursor.line];
    if (!this.shown || !line) return;
    context.strokeStyle = ink;
    context.lineWidth = 2;
    context.strokeRect(this.cursor.at * this.step + 1, line.y + 1, this.step - 2, line.height - 2);
  }

  /** Marks the tokens `chosen`, and the label of the chosen latent. */
  mark(chosen = this.page.state.chosen) {
    this.chosen = chosen;
    this.heads.forEach((head, at) => head.setAttribute("aria-pressed", String(chosen.includes(at))));
    for (const label of this.node.querySelectorAll(".time-map__label")) label.toggleAttribute("data-on", Number(label.dataset.latent) === this.page.state.latent);
    this.paint();
  }

  listen() {
    this.scroller.addEventListener("scroll", () => requestAnimationFrame(() => this.paint()), { passive: true });
    this.canvas.addEventListener("pointermove", (event) => this.point(this.cellAt(event), event));
    this.canvas.addEventListener("pointerleave", () => this.leave());
    this.canvas.addEventListener("click", (event) => this.choose(this.cellAt(event)));
    this.scroller.addEventListener("focus", () => this.scroller.matches(":focus-visible") && this.point(this.cursor, null));
    this.scroller.addEventListener("blur", () => this.leave());
    this.scroller.addEventListener("keydown", (event) => this.press(event));
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const at = Math.floor((event.clientX - box.left + this.scroller.scrollLeft) / this.step);
    const y = event.clientY - box.top;
    return { line: this.lines.findIndex((line) => y >= line.y && y < line.y + line.height), at };
  }

  /** A cell is pointed at: its row shades the text, its value is said. */
  point(cell, event) {
    const line = this.lines[cell.line];
    const item = this.reading.tokens[cell.at];
    if (!line?.row || !item) return this.leave();
    this.cursor = cell;
    this.shown = true;
    const value = line.row.values[line.row.positions.indexOf(cell.at)] ?? 0;
    const told = `${visible(item.text)} (token ${cell.at}), latent ${line.row.latent}${this.reading.parts.length > 1 ? `, ${line.row.part}` : ""}: ${value ? activation(value) : "does not fire"}`;
    if (event) showTip({ x: event.clientX, y: event.clientY }, [h("div", {}, told), line.row.explanation && h("div", { class: "muted" }, said(line.row.explanation))]);
    else fill(this.readout, told);
    this.page.paintOnly({ latent: line.row.latent, part: line.row.part });
    return this.paint();
  }

  leave() {
    if (!this.shown) return;
    this.shown = false;
    hideTip();
    this.page.paintOnly(null);
    this.paint();
  }

  choose({ line, at }) {
    const row = this.lines[line]?.row;
    if (row && this.reading.tokens[at]) this.page.choose({ latent: row.latent, part: row.part, chosen: this.reading.tokens[at].special ? [] : [at] });
  }

  press(event) {
    const { line, at } = this.cursor;
    const last = this.reading.tokens.length - 1;
    const moved = { ArrowLeft: [line, at - 1], ArrowRight: [line, at + 1], ArrowUp: [this.rowFrom(line, -1), at], ArrowDown: [this.rowFrom(line, 1), at], Home: [line, 0], End: [line, last] }[event.key];
    if (event.key === "Enter") this.choose(this.cursor);
    else if (!moved || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (!moved) return;
    const next = { line: moved[0], at: Math.min(Math.max(moved[1], 0), last) };
    const x = next.at * this.step;
    const { scrollLeft, clientWidth } = this.scroller;
    if (x < scrollLeft || x + this.step > scrollLeft + clientWidth) this.scroller.scrollLeft = x - clientWidth / 2;
    this.point(next, null);
  }

  /** The next line that is a latent's, past the headings. */
  rowFrom(line, step) {
    let next = line + step;
    while (this.lines[next] && !this.lines[next].row) next += step;
    return this.lines[next] ? next : line;
  }
}

/** The lines of the map from top to bottom: a heading a part where there are several, and its rows. */
function linesOf({ parts, rows }) {
  const lines = [];
  let y = 0;
  const add = (line) => {
    lines.push({ ...line, y });
    y += line.height;
  };
  for (const { name } of parts) {
    const own = rows.filter((row) => row.part === name);
    if (parts.length > 1 && own.length) add({ part: name, row: null, height: HEADING });
    for (const row of own) add({ part: name, row, height: ROW });
  }
  return lines;
}
