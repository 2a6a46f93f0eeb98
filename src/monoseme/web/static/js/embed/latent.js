// The page of a latent by itself: what the app's page shows, without what needs a server.

import { h } from "../dom.js";
import { Examples } from "../latent/examples.js";
import { layers, related } from "../latent/related.js";
import { explanations } from "../latent/said.js";
import { activations, effects, facts, firesOn, logits, roles } from "../latent/side.js";
import { State } from "../latent/state.js";
import { embed } from "./page.js";

// What is chosen here is kept in no address.
const nowhere = { note() {} };

embed((latent) => {
  const state = new State({}, nowhere);
  const here = { run: "", sae: latent.sae };
  const dead = latent.n_active === 0;
  return h(
    "article",
    { class: "stack", vars: { "--gap": "22px" } },
    h("header", {}, h("h1", { class: "latent__title" }, h("span", { class: "muted" }, "Latent "), latent.index, " ", h("span", { class: "badge" }, latent.sae)), explanations(withoutJudgements(latent), "", state, null)),
    h(
      "div",
      { class: "latent" },
      h("div", { class: "latent__main" }, dead ? h("p", { class: "notice" }, latent.why_missing ?? "This latent never fired on the scanned text.") : new Examples(latent, state).node),
      h("aside", { class: "latent__side", "aria-label": "Numbers" }, facts(latent), layers(latent, here), activations(latent), firesOn(latent), logits(latent), related(latent, here), effects(latent), roles(latent)),
    ),
  );
});

/** Single judgements are asked for one by one, which only a server can answer. */
function withoutJudgements(latent) {
  const plain = (item) => ({ ...item, scores: item.scores.map((score) => ({ ...score, has_judgements: false })) });
  return { ...latent, explanations: latent.explanations.map(plain) };
}
