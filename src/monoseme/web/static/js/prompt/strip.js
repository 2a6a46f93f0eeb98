// The text of a prompt as tokens to choose from. It is shaded in place, so that pointing at a latent repaints and moves nothing.

import { h } from "../dom.js";
import { activation } from "../format.js";
import { shade, tokenText, visible } from "../tokens.js";

/** A token with its spaces as faint signs; tabs, line ends and control characters get theirs from tokenText. */
function signs(text) {
  return text.split(/( +)/).map((part) => (part.startsWith(" ") ? h("span", { class: "space" }, "␣".repeat(part.length)) : part && tokenText(part)));
}

/** How a token is read aloud. */
function spoken(text) {
  return text.trim() ? visible(text.trim()) : `white space ${visible(text)}`;
}

export class TokenStrip {
  /** `choose(at, more)` on a click, `more` with Shift or Ctrl; `point(at or null)` while one points at or focuses a token. */
  constructor(tokens, { choose, point }) {
    this.tokens = tokens;
    this.buttons = tokens.map((item, at) => tokenButton(item, at));
    const at = (event) => {
      const button = event.target.closest?.("[data-at]");
      return button && !button.disabled ? Number(button.dataset.at) : null;
    };
    this.node = h(
      "div",
      {
        class: "strip strip--large",
        role: "group",
        "aria-label": "Tokens of the text",
        onclick: (event) => at(event) !== null && choose(at(event), event.shiftKey || event.ctrlKey || event.metaKey),
        onpointerover: (event) => event.pointerType !== "touch" && point(at(event)),
        onpointerleave: () => point(null),
        onfocusin: (event) => event.target.matches(":focus-visible") && point(at(event)),
        onfocusout: () => point(null),
      },
      // A line break inside a button would make it two lines high.
      this.buttons.map((button, i) => [button, tokens[i].text.includes("\n") ? "\n" : null]),
    );
  }

  /** Shades every token; `values[i]` is null where the SAE reads nothing. `tell(i)` says a value in words. */
  paint({ values, top, peak = null, tell = null }) {
    this.buttons.forEach((button, i) => {
      const value = values[i];
      const told = tell?.(i) ?? (value ? activation(value) : "");
      button.style.setProperty("--v", value ? shade(value, top).toFixed(3) : "0");
      button.toggleAttribute("data-negative", value < 0);
      button.toggleAttribute("data-peak", i === peak);
      const special = this.tokens[i].special ? "not read by the SAE" : told;
      button.dataset.tip = [visible(this.tokens[i].text), special].filter(Boolean).join("   ");
      button.setAttribute("aria-label", [spoken(this.tokens[i].text), special].filter(Boolean).join(", "));
    });
  }

  /** Marks the chosen tokens; only one of all is reached by Tab, the others by the arrow keys. */
  mark(chosen) {
    const reached = chosen.at(-1) ?? this.tokens.findIndex((item) => !item.special);
    this.buttons.forEach((button, i) => {
      button.setAttribute("aria-pressed", String(chosen.includes(i)));
      button.tabIndex = i === reached ? 0 : -1;
    });
  }

  /** Brings a token into sight; the focus follows where it is on another token. */
  reveal(at) {
    const button = this.buttons[at];
    if (this.node.contains(document.activeElement)) button.focus();
    button.scrollIntoView({ block: "nearest" });
  }
}

function tokenButton(item, at) {
  const kind = item.special ? "tok tok--pick tok--special" : "tok tok--pick";
  return h("button", { type: "button", class: kind, "data-at": at, disabled: item.special }, signs(item.text));
}
