// The head of a latent's page: its name, the way to others, and what can be done with it.

import { address } from "../api.js";
import { h } from "../dom.js";
import { copyButton } from "../copy.js";

/** `go(index)` leads to another latent, `random()` to any that fires. */
export function head(latent, params, { go, random }) {
  const step = (index, title, key) => h("button", { class: "button", type: "button", disabled: index === null, onclick: () => go(index), "aria-keyshortcuts": key }, title);
  return h(
    "div",
    { class: "head" },
    h("h1", { class: "latent__title" }, h("span", { class: "muted" }, "Latent "), latent.index, " ", h("span", { class: "badge" }, latent.sae), latent.site && !latent.sae.includes(latent.site) && [" ", h("span", { class: "badge" }, latent.site)], latent.n_active === 0 && [" ", h("span", { class: "badge" }, "dead")]),
    h("nav", { class: "head__end steps", "aria-label": "Other latents" }, step(latent.previous, "‹ Previous", "k"), step(latent.next, "Next ›", "j"), h("button", { class: "button", type: "button", onclick: random, "aria-keyshortcuts": "r" }, "Random")),
    h("div", { class: "steps" }, h("a", { class: "button button--main", href: address.steerWith(params.run, params.sae, latent.index), "aria-keyshortcuts": "s" }, "Steer with it"), menu(latent, params)),
  );
}

function menu(latent, { run, sae }) {
  const api = `/api${address.latent(run, sae, latent.index)}`;
  const item = (title, href, name) => h("a", { class: "button button--plain button--small", href, download: name }, title);
  const details = h(
    "details",
    { class: "menu", onkeydown: (event) => event.key === "Escape" && close(details), onfocusout: (event) => event.relatedTarget && !details.contains(event.relatedTarget) && (details.open = false) },
    h("summary", { class: "button" }, "Take it"),
    h(
      "div",
      { class: "menu__list" },
      copyButton("Copy link", () => location.href),
      copyButton("Copy as JSON", () => JSON.stringify(latent, null, 2)),
      item("Page, JSON", api, `${sae}-${latent.index}.json`),
      item("Decoder vector, safetensors", `${api}/vector?format=safetensors`, ""),
      item("Decoder vector, JSON", `${api}/vector`, `${sae}-${latent.index}-vector.json`),
    ),
  );
  return details;
}

function close(details) {
  details.open = false;
  details.querySelector("summary").focus();
}
