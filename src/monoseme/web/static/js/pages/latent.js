// One latent: what it seems to mean and how well that predicts it, where it fires, how strongly, and what it writes.

import { address, get } from "../api.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { Examples } from "../latent/examples.js";
import { head } from "../latent/head.js";
import { layers, related } from "../latent/related.js";
import { explanations } from "../latent/said.js";
import { activations, effects, facts, firesOn, logits, roles } from "../latent/side.js";
import { State } from "../latent/state.js";
import { Trial } from "../latent/trial.js";

export async function latentPage({ params, query, signal, router }) {
  const here = address.latent(params.run, params.sae, params.index);
  const latent = await get(here, { signal });
  const state = new State(query, router);
  const go = (index) => index !== null && router.go(address.latent(params.run, params.sae, index) + state.query({ forAnother: true }), { keepScroll: scrollY < 160 });
  const random = async () => go((await get(`${address.sae(params.run, params.sae)}/random`, { signal })).index);
  const dead = latent.n_active === 0;
  const examples = dead ? null : new Examples(latent, state);
  const trial = new Trial(latent, here, params, state, signal);
  return {
    title: `Latent ${latent.index} of ${latent.sae}`,
    section: "latents",
    keys: { ...steps(latent, go, random), ...examples?.keys(), m: { run: () => trial.focus(), says: "try my own text" }, s: { run: () => router.go(address.steerWith(params.run, params.sae, latent.index)), says: "steer with it" } },
    node: h(
      "article",
      { class: "stack", vars: { "--gap": "22px" } },
      h("header", {}, head(latent, params, { go, random }), explanations(latent, here, state, signal)),
      h(
        "div",
        { class: "latent" },
        h("div", { class: "latent__main" }, trial.node, dead ? deadNotice(latent) : examples.node),
        h("aside", { class: "latent__side", "aria-label": "Numbers" }, side(latent, params, dead)),
      ),
    ),
  };
}

function side(latent, params, dead) {
  if (dead) return [facts(latent), layers(latent, params), logits(latent)];
  return [facts(latent), layers(latent, params), activations(latent), firesOn(latent), logits(latent), related(latent, params), effects(latent), roles(latent)];
}

function steps(latent, go, random) {
  const next = { run: () => go(latent.next), says: "next latent" };
  const back = { run: () => go(latent.previous), says: "previous latent" };
  return { j: next, ArrowRight: next, k: back, ArrowLeft: back, r: { run: random, says: "a random latent" } };
}

function deadNotice(latent) {
  return h("div", { class: "notice" }, h("h2", {}, "This latent is dead here"), h("p", {}, `It was zero on every one of the ${count(latent.n_tokens)} scanned tokens, so there is nothing to show. It may still fire on other text: try some above.`));
}
