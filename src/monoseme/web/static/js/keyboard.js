// Keys that work when one is not typing, "g o" meaning one after the other. Pages give a map of their own; "?" shows all.

import { fill, h } from "./dom.js";

/** How long the second key of two may take, in milliseconds. */
const PATIENCE = 1500;
const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

export class Keyboard {
  /** `theme()` changes light and dark; `search()` unfolds a search box where none is in sight. */
  constructor({ theme, search }) {
    Object.assign(this, { page: {}, journeys: {}, first: null });
    this.dialog = h("dialog", { "aria-labelledby": "keys-title" });
    document.body.append(this.dialog);
    this.shared = {
      "/": { run: () => focusSearch(search), says: "search" },
      t: { run: theme, says: "light or dark" },
      "?": { run: () => this.help(), says: "this list" },
    };
    addEventListener("keydown", (event) => this.press(event));
  }

  /** `keys`: { j: { run, says } }; two keys with one `says` are told as one line. `journeys` lead to other pages. */
  use(keys = {}, journeys = {}) {
    Object.assign(this, { page: keys, journeys, first: null });
  }

  press(event) {
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || this.dialog.open) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const found = this.find(event.key, event.timeStamp);
    if (!found) return;
    event.preventDefault();
    found.run(event);
  }

  /** What a key does, after the one before it where that was the first of two; `at` is when it was pressed, however late a busy page hears of it. */
  find(key, at) {
    const keys = { ...this.shared, ...this.journeys, ...this.page };
    const both = this.first && at - this.first.at < PATIENCE && `${this.first.key} ${key}`;
    this.first = null;
    const found = keys[both] ?? keys[key];
    if (!found && Object.keys(keys).some((name) => name.startsWith(`${key} `))) this.first = { key, at };
    return found;
  }

  help() {
    fill(
      this.dialog,
      h("h2", { id: "keys-title" }, "Keys"),
      list("On this page", this.page),
      list("Everywhere", { ...this.journeys, ...this.shared }),
      h("form", { method: "dialog" }, h("button", { class: "button", type: "button", onclick: () => this.dialog.close() }, "Close")),
    );
    this.dialog.showModal();
  }
}

function list(title, keys) {
  const lines = new Map();
  for (const [key, { says }] of Object.entries(keys)) if (says) lines.set(says, [...(lines.get(says) ?? []), key]);
  if (!lines.size) return null;
  return [h("h3", {}, title), h("dl", { class: "keys" }, [...lines].map(([says, named]) => [h("dt", {}, named.map(caps)), h("dd", {}, says)]))];
}

function caps(key) {
  return [key.split(" ").map((one) => [h("kbd", {}, NAMES[one] ?? one), " "])];
}

function focusSearch(unfold) {
  const inSight = () => [...document.querySelectorAll("[data-search]")].reverse().find((element) => element.offsetParent !== null);
  if (!inSight()) unfold();
  inSight()?.focus();
  inSight()?.select();
}
