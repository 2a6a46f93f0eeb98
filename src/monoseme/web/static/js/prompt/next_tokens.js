// Three lists of tokens that may come next: the likeliest, those that gained most, those that lost most.

import { h } from "../dom.js";
import { term } from "../float.js";
import { activation, number, percent } from "../format.js";
import { visible } from "../tokens.js";

const KL = "Kullback-Leibler divergence of the changed prediction from the unchanged one, in nats.";

export function nextTokens({ top, gain, loss, next, kl }) {
  return [
    h("p", { class: "small coming" }, next && ["The next token ", h("span", { class: "chip" }, visible(next.token)), ` has ${percent(next.probability)}`, next.change !== null && `, logit ${signed(next.change)}`, ". "], kl !== null && [term("KL", KL), ` ${number(kl, 3)}.`]),
    list("Largest", top, (item) => [percent(item.probability), item.change === null ? null : signed(item.change)]),
    gain.length > 0 && list("Largest gain", gain, (item) => [percent(item.probability), signed(item.change)]),
    loss.length > 0 && list("Largest loss", loss, (item) => [percent(item.probability), signed(item.change)]),
  ];
}

/** Bars are probabilities; a change of the logit, where there is one, stands at the end. */
function list(title, items, told) {
  const row = (item) => {
    const [probability, change] = told(item);
    return h(
      "li",
      { class: "coming__row", data: { tip: `${visible(item.token)}\nlogit ${number(item.logit, 4)}` } },
      h("span", { class: "chip" }, visible(item.token)),
      h("span", { class: "coming__bar", vars: { "--share": `${(item.probability * 100).toFixed(1)}%` } }, probability),
      h("span", { class: "coming__change small muted" }, change),
    );
  };
  return [h("h3", { class: "coming__title" }, title), h("ol", { class: "coming__list", "aria-label": title }, items.map(row))];
}

function signed(change) {
  return change > 0 ? `+${activation(change)}` : activation(change);
}
