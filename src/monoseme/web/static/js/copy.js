// A button that copies a text and says that it did.

import { h } from "./dom.js";

const SHOWN = 1600;

/** `text()` is asked for when the button is pressed. `name` is what it is called where its title alone says too little. */
export function copyButton(title, text, name = null) {
  const label = h("span", { "aria-live": "polite" }, title);
  const copy = async () => {
    label.textContent = (await copied(text())) ? "Copied" : "Not allowed";
    setTimeout(() => (label.textContent = title), SHOWN);
  };
  return h("button", { type: "button", class: "button button--plain button--small", "aria-label": name, onclick: copy }, label);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // A page that is not on this machine has no clipboard without TLS.
    return false;
  }
}
