// A little Markdown as elements: the paragraphs, lists and quotations in which studies tell of themselves. All else stays text.

import { h } from "./dom.js";
import { plainly } from "./tokens.js";

// Code first: what stands in it means nothing else.
const MARKS = /`([^`]+)`|\*\*(?=\S)(.+?\S)\*\*|(?<![\w*])\*(?=\S)([^*]*?\S)\*(?![\w*])|\[([^[\]]+)\]\((https?:\/\/[^\s()<>]+)\)|\\([!-/:-@[-`{-~])/g;
const ENTITIES = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };

/** Paragraphs of a text. */
export function prose(text) {
  return blocks(text).map(block);
}

/** One line: code, emphasis and links only. */
export function line(text) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(MARKS)) {
    parts.push(plain(text.slice(end, found.index)), marked(found));
    end = found.index + found[0].length;
  }
  return [...parts, plain(text.slice(end))];
}

function marked([, code, strong, emphasis, words, url, escaped]) {
  if (code !== undefined) return h("code", { class: "mono" }, code);
  if (strong !== undefined) return h("strong", {}, line(strong));
  if (emphasis !== undefined) return h("em", {}, line(emphasis));
  if (url !== undefined) return h("a", { href: url, rel: "noreferrer", target: "_blank" }, plain(words));
  return escaped;
}

function plain(text) {
  return plainly(text.replace(/&(lt|gt|amp);/g, (entity) => ENTITIES[entity]));
}

/** Lines that belong together; a fenced block is whole, its empty lines included. */
function blocks(text) {
  const found = [[]];
  let fenced = false;
  for (const each of text.trim().split("\n")) {
    if (each.startsWith("```")) fenced = !fenced;
    if (each.trim() || fenced) found.at(-1).push(each);
    else found.push([]);
  }
  return found.filter((lines) => lines.length);
}

function block(lines) {
  if (lines[0].startsWith("```")) return h("pre", { class: "mono" }, lines.filter((each) => !each.startsWith("```")).join("\n"));
  if (/^#+ /.test(lines[0])) return h("h3", {}, line(lines.join(" ").replace(/^#+ /, "")));
  if (lines.every((each) => each.startsWith(">"))) return h("blockquote", {}, line(lines.map((each) => each.replace(/^> ?/, "")).join(" ")));
  const first = lines.findIndex(isItem);
  if (first < 0) return h("p", {}, line(lines.join(" ")));
  return [first > 0 && h("p", {}, line(lines.slice(0, first).join(" "))), h("ul", { class: "prose__list" }, items(lines.slice(first)).map((item) => h("li", {}, line(item))))];
}

function isItem(text) {
  return /^[-*] +/.test(text);
}

/** A line without a sign of its own goes on with the item before it. */
function items(lines) {
  const found = [];
  for (const each of lines) {
    if (isItem(each)) found.push(each.replace(/^[-*] +/, ""));
    else found[found.length - 1] += ` ${each.trim()}`;
  }
  return found;
}
