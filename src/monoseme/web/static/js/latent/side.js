// The numbers at the side of a latent: how often and how strongly it fires, and what it does to the next token.

import { h } from "../dom.js";
import { term } from "../float.js";
import { activation, count, measured, number, percent, plural, rarity } from "../format.js";
import { histogram } from "../histogram.js";
import { chips, visible } from "../tokens.js";

export function panel(title, ...content) {
  return h("section", { class: "panel" }, h("h3", {}, title), content);
}

export function facts(latent) {
  const row = (name, value, definition) => h("div", {}, h("dt", {}, term(name, definition)), h("dd", {}, value));
  return h(
    "dl",
    { class: "panel numbers" },
    row("Density", percent(latent.density), `Share of scanned tokens on which it is not zero: ${rarity(latent.density)}.`),
    row("Fired on", plural(latent.n_active, "token"), `Of ${count(latent.n_tokens)} scanned.`),
    latent.n_documents !== null && row("In", plural(latent.n_documents, "document"), "Documents with at least one firing."),
    row("Max", activation(latent.max), "Largest activation on the scanned text; the shading of tokens ends here."),
    row("Mean when active", activation(latent.mean), "Mean over the tokens on which it is not zero."),
    latent.std !== null && row("Spread when active", activation(latent.std), "Standard deviation over the same tokens."),
    latent.n_near_duplicates ? row("Near-duplicates", count(latent.n_near_duplicates), "Firings that are not among the examples because a better one has nearly the same text.") : null,
  );
}

export function activations(latent) {
  if (!latent.histogram) return null;
  const label = `Histogram of ${plural(latent.n_active, "activation")}, up to ${activation(latent.max)}`;
  return panel("Activations when it fires", histogram(latent.histogram, { label }));
}

export function firesOn(latent) {
  if (!latent.fires_on.length) return null;
  return panel(term("Fires on", "Tokens of its strongest examples, each once, the strongest first."), chips(latent.fires_on));
}

export function logits(latent) {
  if (!latent.logits) return panel("Direct effect on logits", h("p", { class: "muted small" }, latent.why_no_logits ?? "Not computed."));
  const { top, bottom } = latent.logits;
  return panel(
    term("Direct effect on logits", "What one unit of this latent adds to the logit of each token through the final norm and the unembedding alone."),
    tokenPair(["Raises", top, "logits--up"], ["Lowers", bottom, "logits--down"]),
  );
}

/** What the model predicts less well without the latent. */
export function effects(latent) {
  const found = latent.effects;
  if (found === null) return null;
  const title = term("Without this latent", "The latent alone is taken out at one firing token; what changes is the prediction of the token that follows.");
  if (found.loss_change === null) return panel(title, h("p", { class: "muted small" }, `${found.why_missing ?? "Not measured"}.`));
  const { value, error } = measured(found.loss_change, found.standard_error);
  return panel(
    title,
    h("p", { class: "small" }, term("Loss of the next token", "Mean change in nats; positive where the latent helps the model."), " ", h("b", {}, `${found.loss_change > 0 ? "+" : ""}${value}`), error && h("span", { class: "error-bar" }, " ± ", term(error, "1.96 standard errors: a 95 % interval.")), h("span", { class: "muted" }, ` over ${plural(found.n, "firing")}`)),
    tokenPair(["Less likely", found.fallen, "logits--down"], ["Likelier", found.risen, "logits--up"]),
  );
}

/** How often it fires on what each role of a conversation says. */
export function roles(latent) {
  if (!latent.roles.length) return null;
  const most = Math.max(...latent.roles.map((one) => one.density), 1e-12);
  const row = (one) => h("li", { vars: { "--share": `${((one.density / most) * 100).toFixed(1)}%` } }, h("span", {}, one.role), h("span", { class: "logits__value" }, percent(one.density)));
  return panel(term("Density by role", "Share of each role's tokens on which it fires."), h("ol", { class: "logits logits--up" }, latent.roles.map(row)));
}

/** Two lists of tokens with a number each, side by side; bars share one scale. */
function tokenPair(...lists) {
  const largest = Math.max(...lists.flatMap(([, items]) => items.map((item) => Math.abs(item.value))), 1e-9);
  const one = ([title, items, className]) =>
    h(
      "div",
      {},
      h("h4", {}, title),
      h(
        "ol",
        { class: `logits ${className}` },
        items.map((item) => h("li", { vars: { "--share": `${((Math.abs(item.value) / largest) * 100).toFixed(1)}%` } }, h("span", { class: "logits__token mono", data: { tip: visible(item.token) } }, visible(item.token)), h("span", { class: "logits__value" }, number(item.value, 2)))),
      ),
    );
  return h("div", { class: "logits__pair" }, lists.map(one));
}
