// The small card of a latent: shown when a link that names one is pointed at or focused, wherever it stands.

import { address, card as fetchCard } from "./api.js";
import { h, fill, svg } from "./dom.js";
import { activation, number, percent } from "./format.js";
import { place } from "./float.js";
import { chips, strip } from "./tokens.js";

const box = h("div", { class: "float", role: "tooltip", hidden: true });
let timer = 0;
let wanted = null;

export function startCards() {
  document.body.append(box);
  document.addEventListener("pointerover", (event) => arm(event.target.closest?.("[data-card]"), event));
  document.addEventListener("focusin", (event) => {
    const link = event.target.closest?.("[data-card]");
    if (link?.matches(":focus-visible")) arm(link, event);
  });
  document.addEventListener("focusout", hideCard);
  addEventListener("scroll", hideCard, { passive: true });
  addEventListener("click", hideCard);
  addEventListener("keydown", (event) => event.key === "Escape" && hideCard());
}

export function hideCard() {
  clearTimeout(timer);
  wanted = null;
  box.hidden = true;
}

/** A link to a latent that shows its card. */
export function latentLink(run, sae, index, ...children) {
  return h("a", { href: address.latent(run, sae, index), data: { card: address.latent(run, sae, index) } }, ...children);
}

function arm(link, event) {
  if (event.pointerType === "touch") return;
  if (link === wanted) return;
  hideCard();
  if (!link) return;
  wanted = link;
  // Long enough that moving over a list asks for nothing.
  timer = setTimeout(() => show(link), 180);
}

async function show(link) {
  try {
    const latent = await fetchCard(link.dataset.card);
    if (wanted !== link || !link.isConnected) return;
    fill(box, content(latent));
    box.hidden = false;
    place(box, link.getBoundingClientRect());
  } catch {
    // A card is a convenience: the page behind the link says what is wrong.
  }
}

function content(latent) {
  const dead = latent.density === 0;
  return [
    h("div", { class: "muted small" }, `Latent ${latent.index}`, latent.score !== null && ` · score ${number(latent.score, 2)}`),
    h("div", { class: "float__title" }, latent.explanation ?? (dead ? "Never fired on the scanned text" : "No explanation yet")),
    !dead && [
      latent.histogram && miniHistogram(latent.histogram),
      h("div", { class: "muted small" }, `density ${percent(latent.density)} · max ${activation(latent.max)}`),
      latent.examples.slice(0, 3).map((example) => strip(example, { top: latent.max, around: 5 })),
      latent.promoted.length > 0 && h("div", { class: "float__more" }, h("span", { class: "muted small" }, "raises "), chips(latent.promoted.slice(0, 5))),
    ],
  ];
}

/** Bars only: the shape at a glance, on a log scale of counts because large activations are rare. */
export function miniHistogram({ counts }) {
  const tallest = Math.log1p(Math.max(...counts, 1));
  const bars = counts.map((n, i) => {
    const height = n ? Math.max((Math.log1p(n) / tallest) * 36, 1.5) : 0;
    return svg("rect", { x: i + 0.08, y: 36 - height, width: 0.84, height });
  });
  return svg("svg", { viewBox: `0 0 ${counts.length} 36`, preserveAspectRatio: "none", class: "bars", "aria-hidden": "true" }, bars);
}
