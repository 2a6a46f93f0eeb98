// What floats above the page: a tip for one value, a definition for a term, a card for a latent. One of each at a time.

import { fill, h, unseen } from "./dom.js";

const tip = h("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });

export function startTips() {
  document.body.append(tip);
  document.addEventListener("pointerover", (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (target) showTip(target.getBoundingClientRect(), lines(target));
    else if (!event.target.closest?.(".chart")) hideTip();
  });
  document.addEventListener("focusin", (event) => {
    const target = event.target.closest?.("[data-tip]");
    if (target && target.matches(":focus-visible")) showTip(target.getBoundingClientRect(), lines(target));
  });
  document.addEventListener("focusout", hideTip);
  addEventListener("scroll", hideTip, { passive: true });
  addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
}

/** Shows `content` beside a box or a point of the window. */
export function showTip(box, content) {
  fill(tip, content);
  tip.hidden = false;
  place(tip, box);
}

export function hideTip() {
  tip.hidden = true;
}

/** A word that explains itself when pointed at, focused or read aloud. */
export function term(word, definition) {
  if (!definition) return h("span", {}, word);
  return h("button", { type: "button", class: "term", data: { tip: definition } }, word, unseen(`: ${definition}`));
}

/** Puts a fixed element under a box, or above it where there is no room, inside the window. */
export function place(element, box) {
  const gap = 8;
  const { offsetWidth: width, offsetHeight: height } = element;
  const left = box.left ?? box.x;
  const top = box.top ?? box.y;
  const bottom = box.bottom ?? box.y;
  const below = bottom + gap + height <= innerHeight || top - gap - height < 0;
  element.style.left = `${Math.max(gap, Math.min(left, innerWidth - width - gap))}px`;
  element.style.top = `${below ? bottom + gap : top - gap - height}px`;
}

function lines(target) {
  return target.dataset.tip.split("\n").map((line, index) => h("div", { class: index ? "muted" : null }, line));
}
