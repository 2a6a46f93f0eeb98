// The latents that fired: gathered over all tokens or over some, filtered, sorted, and listed.

import { h } from "../dom.js";
import { activation, MISSING, percent, plural } from "../format.js";
import { named, said } from "./named.js";

/** What the last column tells: that which the list is sorted by, else the density. */
const FACTS = {
  share: ["Of own max", (entry) => shareOf(entry)],
  n_tokens: ["Tokens", (entry) => entry.n_tokens],
  peak: ["Peak at", (entry) => entry.peak],
};
const DENSITY = ["Density", (entry) => percent(entry.density)];

/** Latents over the tokens `places`: the value of each at its peak there, on how many it fires, and what is known of it. */
export function gathered(reading, places) {
  const known = new Map(reading.latents.map((latent) => [latent.index, latent]));
  const found = new Map();
  for (const at of places) {
    for (const { latent, value } of reading.tokens[at]?.firings ?? []) {
      const entry = found.get(latent) ?? { index: latent, value: 0, peak: at, n_tokens: 0 };
      if (Math.abs(value) > Math.abs(entry.value)) Object.assign(entry, { value, peak: at });
      entry.n_tokens += 1;
      found.set(latent, entry);
    }
  }
  return [...found.values()].map((entry) => withKnown(entry, known.get(entry.index)));
}

function withKnown(entry, latent) {
  const share = latent?.share_of_max ? (entry.value / latent.max) * latent.share_of_max : null;
  return { ...entry, share, density: latent?.density ?? null, explanation: latent?.explanation ?? null };
}

export function sorted(entries, sort) {
  const ascending = sort === "density" || sort === "peak";
  const key = (entry) => entry[sort] ?? (ascending ? Infinity : -Infinity);
  return entries.toSorted((a, b) => (ascending ? key(a) - key(b) : key(b) - key(a)) || Math.abs(b.value) - Math.abs(a.value) || a.index - b.index);
}

/** Those that fire on at most `most` of all text; one of unknown density stays. */
export function rarer(entries, most) {
  return entries.filter((entry) => (entry.density ?? 0) <= most);
}

/** The list. `page` chooses and previews a latent; `chosen` is the one that the text is shaded by. */
export function firedList(page, entries, { top }) {
  const [title, told] = FACTS[page.state.sort] ?? DENSITY;
  const over = (event) => {
    const row = event.target.closest?.("[data-latent]");
    page.preview(row ? { latent: Number(row.dataset.latent) } : null);
  };
  return h(
    "ol",
    {
      class: "fired",
      onpointerover: (event) => event.pointerType !== "touch" && over(event),
      onpointerleave: () => page.preview(null),
      onfocusin: (event) => event.target.matches(":focus-visible") && over(event),
      onfocusout: () => page.preview(null),
    },
    h("li", { class: "fired__row fired__head", "aria-hidden": "true" }, h("span", {}, "Activation"), h("span", {}, "Latent"), h("span", { class: "fired__facts" }, title)),
    entries.map((entry) => firedRow(page, entry, { top, told })),
  );
}

function firedRow(page, entry, { top, told }) {
  const chosen = page.state.latent === entry.index;
  const tip = `${shareOf(entry)} of its own maximum, density ${percent(entry.density)}\non ${plural(entry.n_tokens, "token")}, strongest on token ${entry.peak}`;
  const share = `${Math.min(Math.abs(entry.value / top) * 100, 100).toFixed(1)}%`;
  const paint = h(
    "button",
    {
      type: "button",
      class: "fired__paint",
      vars: { "--share": share },
      data: { tip },
      "aria-pressed": String(chosen),
      "aria-label": `${activation(entry.value)}: shade the text by latent ${entry.index}`,
      onclick: () => page.choose({ latent: chosen ? null : entry.index }),
    },
    activation(entry.value),
  );
  return h(
    "li",
    { class: "fired__row", "data-latent": entry.index, "data-chosen": chosen ? "" : null },
    paint,
    h("span", { class: "fired__words" }, named(page, page.reading.views.key, entry.index), " ", entry.explanation !== null ? said(entry.explanation) : h("span", { class: "muted" }, "no explanation")),
    h("span", { class: "fired__facts muted small" }, told(entry)),
  );
}

function shareOf({ share }) {
  return share === null ? MISSING : `${Math.round(share * 100)} %`;
}
