// Keys that work when one is not typing. Pages give a map of their own; these are shown by "?".

import { fill, h } from "./dom.js";

const everywhere = [
  ["/", "search"],
  ["?", "this list"],
  ["t", "light or dark"],
];

export class Keyboard {
  constructor({ theme }) {
    this.page = {};
    this.dialog = h("dialog", { "aria-labelledby": "keys-title" });
    document.body.append(this.dialog);
    this.shared = {
      "/": { run: focusSearch },
      "?": { run: () => this.help() },
      t: { run: theme },
    };
    addEventListener("keydown", (event) => this.press(event));
  }

  /** `keys`: { j: { run, says } }; two keys with one `says` are told as one line. */
  use(keys = {}) {
    this.page = keys;
  }

  press(event) {
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || this.dialog.open) return;
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (typing) {
      if (event.key === "Escape") typing.blur();
      return;
    }
    const key = this.page[event.key] ?? this.shared[event.key];
    if (!key) return;
    event.preventDefault();
    key.run(event);
  }

  help() {
    const lines = new Map();
    for (const [key, { says }] of Object.entries(this.page)) if (says) lines.set(says, [...(lines.get(says) ?? []), key]);
    for (const [key, says] of everywhere) lines.set(says, [key]);
    fill(
      this.dialog,
      h("h2", { id: "keys-title" }, "Keys"),
      h(
        "dl",
        { class: "keys" },
        [...lines].map(([says, keys]) => [h("dt", {}, keys.map((key) => [h("kbd", {}, name(key)), " "])), h("dd", {}, says)]),
      ),
      h("form", { method: "dialog" }, h("button", { class: "button", type: "button", onclick: () => this.dialog.close() }, "Close")),
    );
    this.dialog.showModal();
  }
}

function focusSearch() {
  const box = [...document.querySelectorAll("[data-search]")].reverse().find((element) => element.offsetParent !== null);
  box?.focus();
  box?.select();
}

function name(key) {
  return { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" }[key] ?? key;
}
