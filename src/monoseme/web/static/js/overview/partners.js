// Pairs of latents of two SAEs, side by side; each shows its card.

import { latentLink } from "../card.js";
import { fill, h } from "../dom.js";
import { keepingFocus } from "../focus.js";
import { percent } from "../format.js";
import { pageSteps } from "../table_parts.js";
import { plainly } from "../tokens.js";

const ORDERS = [
  ["highest", "Most alike"],
  ["lowest", "Least alike"],
  ["latent", "By number"],
];
const PAGE = 30;

/** Draws a page of pairs into `place`; `change` asks for another. */
export function partners(place, answer, { a, b, state, change }) {
  const order = state.query.order ?? "highest";
  const head = h(
    "div",
    { class: "head" },
    h("h3", {}, "Pairs"),
    h("div", { class: "segments", role: "group", "aria-label": "Order of pairs" }, ORDERS.map(([name, title]) => h("button", { type: "button", data: { focus: name }, "aria-pressed": String(name === order), onclick: () => change({ order: name === "highest" ? null : name }) }, title))),
    h("label", { class: "small compare__only" }, h("input", { type: "checkbox", data: { focus: "mutual" }, checked: state.query.mutual === "1", onchange: (event) => change({ mutual: event.target.checked ? "1" : null }) }), " Each other's nearest only"),
  );
  keepingFocus(place, () => fill(place, head, h("div", { class: "panel panel--flush" }, table(answer, a, b)), h("div", { class: "pages" }, pageSteps({ offset: answer.offset, shown: answer.partners.length, total: answer.total, size: PAGE }, (to) => change({ from: to || null })))));
}

function table({ partners: pairs }, a, b) {
  const [ours, theirs] = [a, b].map(named);
  const columns = ["Cosine", a, "", b, ""].map((title, i) => h("th", { scope: "col", class: i === 0 ? "num" : null, colspan: title && i ? 2 : null }, title)).filter((_, i) => i !== 2 && i !== 4);
  const row = (pair) =>
    h(
      "tr",
      {},
      h("td", { class: "num" }, pair.cosine.toFixed(3), h("span", { data: { tip: pair.is_mutual ? "Each other's nearest" : "The partner has a nearer latent" }, class: "partners__sign" }, pair.is_mutual ? " ↔" : " →", h("span", { class: "sr-only" }, pair.is_mutual ? " each other's nearest" : " one way"))),
      side(ours, pair.latent, pair.explanation, pair.density),
      side(theirs, pair.partner, pair.partner_explanation, pair.partner_density),
    );
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Pairs of latents" }, h("table", { class: "partners" }, h("thead", {}, h("tr", {}, columns)), h("tbody", {}, pairs.map(row))));
}

function named(name) {
  const [run, ...sae] = name.split(":");
  return { run, sae: sae.join(":") };
}

/** What was not scanned has no page to go to. */
function side({ run, sae }, latent, explanation, density) {
  const link = density === null ? h("span", {}, latent) : latentLink(run, sae, latent, String(latent));
  return [h("td", { class: "num" }, link), h("td", { class: "partners__words small" }, explanation ? plainly(explanation) : h("span", { class: "muted" }, density === null ? "not scanned" : "no explanation"), density !== null && h("span", { class: "muted" }, ` · ${percent(density)}`))];
}
