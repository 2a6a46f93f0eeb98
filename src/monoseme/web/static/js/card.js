// The small card of a latent: shown when a link that names one is pointed at, focused or tapped, wherever it stands.

import { address, card as fetchCard } from "./api.js";
import { fill, h } from "./dom.js";
import { activation, number, percent } from "./format.js";
import { place } from "./float.js";
import { miniHistogram } from "./histogram.js";
import { chips, plainly, strip } from "./tokens.js";

// Long enough that moving over a list asks for nothing.
const WAIT = 180;
// Time to go from the link to the card, which stays open under the pointer.
const GRACE = 220;

const box = h("div", { class: "float", role: "tooltip", id: "card", hidden: true });
let timer = 0;
let wanted = null;
let touched = false;

export function startCards() {
  document.body.append(box);
  document.addEventListener("pointerover", (event) => event.pointerType !== "touch" && point(event.target));
  document.addEventListener("pointerdown", (event) => (touched = event.pointerType === "touch"), { capture: true, passive: true });
  document.addEventListener("focusin", (event) => {
    const link = linkAt(event.target);
    if (link?.matches(":focus-visible") && !touched) arm(link);
  });
  document.addEventListener("focusout", hideCard);
  // Before the router follows the link.
  document.addEventListener("click", tap, { capture: true });
  addEventListener("scroll", hideCard, { passive: true });
  addEventListener("keydown", (event) => event.key === "Escape" && hideCard());
}

export function hideCard() {
  clearTimeout(timer);
  wanted?.removeAttribute("aria-describedby");
  wanted = null;
  box.hidden = true;
}

/** A link to a latent that shows its card. */
export function latentLink(run, sae, index, ...children) {
  return h("a", { href: address.latent(run, sae, index), data: { card: address.latent(run, sae, index) } }, ...children);
}

function linkAt(target) {
  return target.closest?.("[data-card]");
}

function point(target) {
  if (box.contains(target)) return clearTimeout(timer);
  const link = linkAt(target);
  if (link) return arm(link);
  if (!wanted) return undefined;
  clearTimeout(timer);
  timer = setTimeout(hideCard, box.hidden ? 0 : GRACE);
  return undefined;
}

function arm(link, wait = WAIT) {
  if (link === wanted) {
    if (!box.hidden) clearTimeout(timer);
    return;
  }
  hideCard();
  wanted = link;
  timer = setTimeout(() => show(link), wait);
}

/** With a finger, the first tap shows the card and the second follows the link. */
function tap(event) {
  const link = linkAt(event.target);
  if (touched && link && (link !== wanted || box.hidden)) {
    event.preventDefault();
    arm(link, 0);
  } else if (!box.contains(event.target)) {
    hideCard();
  }
}

async function show(link) {
  try {
    const latent = await fetchCard(link.dataset.card);
    if (wanted !== link || !link.isConnected) return;
    fill(box, content(latent), touched && h("p", { class: "muted small float__more" }, "Tap again to open"));
    box.hidden = false;
    link.setAttribute("aria-describedby", box.id);
    place(box, link.getBoundingClientRect());
  } catch {
    // A card is a convenience: the page behind the link says what is wrong. A second tap has to reach it.
    box.hidden = !touched;
    if (touched && wanted === link) fill(box, h("p", { class: "muted small" }, "Tap again to open"));
  }
}

function content(latent) {
  const dead = latent.density === 0;
  return [
    h("div", { class: "muted small" }, `${latent.sae} · latent ${latent.index}`, latent.score !== null && ` · score ${number(latent.score, 2)}`),
    h("div", { class: "float__title" }, latent.explanation === null ? (dead ? "Never fired on the scanned text" : "No explanation yet") : plainly(latent.explanation)),
    !dead && [
      latent.histogram && miniHistogram(latent.histogram),
      h("div", { class: "muted small" }, `density ${percent(latent.density)} · max ${activation(latent.max)}`),
      latent.examples.slice(0, 3).map((example) => strip(example, { top: latent.max, around: 5 })),
      latent.promoted.length > 0 && h("div", { class: "float__more" }, h("span", { class: "muted small" }, "raises "), chips(latent.promoted.slice(0, 5))),
    ],
  ];
}
