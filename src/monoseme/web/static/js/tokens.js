// Text as tokens, each shaded by its activation: one hue, darker is stronger, zero is plain. The value is on hover and read aloud.

import { h, unseen } from "./dom.js";
import { activation } from "./format.js";

const GLYPHS = { "\n": "↵", "\t": "⇥", "\r": "␍" };
// Line ends, other control characters, marks that turn the direction of text around, and characters that nothing is drawn for.
// Joiners (200c, 200d) stay as they are: emoji and several scripts need them.
const CONTROL = /[\p{Cc}\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/u;

/** A visible sign for a character that has none. */
function signOf(character) {
  return GLYPHS[character] ?? `\\x${character.codePointAt(0).toString(16).padStart(2, "0")}`;
}

/** The text of a token for a strip; line ends get a sign, and break the line only where `breaks`. */
export function tokenText(text, breaks = false) {
  if (!CONTROL.test(text) && text !== "") return [text];
  if (text === "") return [h("span", { class: "glyph" }, "∅")];
  return [...text].flatMap((character) => {
    if (!CONTROL.test(character)) return [character];
    const glyph = signOf(character);
    return [h("span", { class: "glyph" }, glyph), breaks && character === "\n" ? "\n" : null];
  });
}

/** How a token is named in a tip or a chip: its spaces made visible. */
export function visible(text) {
  return text === "" ? "∅" : [...text].map((character) => (character === " " ? "␣" : CONTROL.test(character) ? signOf(character) : character)).join("");
}

/** A sentence from a model or a corpus with signs for what would not be seen; spaces and line ends stay. */
export function plainly(text) {
  return [...text].map((character) => (character !== "\n" && CONTROL.test(character) ? signOf(character) : character)).join("");
}

/** How strong the shade is: a floor, so that a weak activation still shows, then linear up to `top`. */
export function shade(value, top) {
  if (!value || !top) return 0;
  return Math.min(0.12 + 0.88 * (Math.abs(value) / top), 1);
}

/** One token. `says` is what its tip and a screen reader tell; without it, the activation. */
export function token(text, value, { top, peak = false, marked = false, breaks = false, props = {}, tag = "span", says = null }) {
  const shown = visible(text);
  const told = says ?? (value ? activation(value) : "");
  return h(
    tag,
    {
      class: "tok",
      vars: value ? { "--v": shade(value, top).toFixed(3) } : {},
      data: {
        tip: told ? `${shown}   ${told}` : shown,
        ...(value ? { value: activation(value) } : {}),
        ...(peak ? { peak: "" } : {}),
        ...(marked ? { marked: "" } : {}),
        ...(value < 0 ? { negative: "" } : {}),
      },
      ...props,
    },
    tokenText(text, breaks),
    told ? unseen(` (${told}) `) : null,
    marked ? unseen(" (marked) ") : null,
  );
}

/** Tokens in a row; `marks` holds the indices of those that somebody was shown as marked. */
export function sequence(tokens, values, { top, peak = null, marks = null, breaks = false }) {
  return h(
    "div",
    { class: "strip", dir: "auto" },
    tokens.map((text, i) => token(text, values[i], { top, breaks, peak: i === peak, marked: marks?.has(i) })),
  );
}

/** An example's tokens; `around` keeps that many on each side of its peak. */
export function strip(example, { top, around = null, breaks = false }) {
  const last = example.tokens.length - 1;
  const [from, to] = around === null ? [0, last] : reach(example.peak, around, last);
  const cut = (text) => h("span", { class: "glyph", "aria-hidden": "true" }, text);
  const shown = sequence(example.tokens.slice(from, to + 1), example.values.slice(from, to + 1), { top, breaks, peak: example.peak - from });
  if (from > 0) shown.prepend(cut("… "));
  if (to < last) shown.append(cut(" …"));
  return shown;
}

/** A concordance line: the peak tokens of all lines stand in one column, so that what comes before and after can be compared. */
export function line(example, { top, before, after }) {
  const { tokens, values, peak } = example;
  const draw = (from, to) => tokens.slice(from, to).map((text, i) => token(text, values[from + i], { top, peak: from + i === peak }));
  return h(
    "div",
    { class: "strip line" },
    h("span", { class: "line__left" }, h("span", {}, draw(Math.max(0, peak - before), peak))),
    h("span", { class: "line__right" }, draw(peak, peak + after + 1)),
  );
}

/** A window of 2 * around + 1 tokens about the peak, moved inside the example at its ends; two thirds before the peak. */
function reach(peak, around, last) {
  const before = Math.round(around * 1.4);
  const from = Math.max(0, Math.min(peak - before, last - 2 * around));
  return [from, Math.min(last, from + 2 * around)];
}

/** Tokens of the vocabulary as chips. */
export function chips(tokens) {
  return h("span", { class: "chips" }, tokens.map((text) => h("span", { class: "chip", data: { tip: visible(text) } }, visible(text))));
}
