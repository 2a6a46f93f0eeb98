// The judgements behind a score, opened where the score stands: each excerpt, what the latent does there, and what was said of it.

import { get } from "../api.js";
import { fill, h, unseen } from "../dom.js";
import { activation, count, number, plural } from "../format.js";
import { sequence } from "../tokens.js";

const KINDS = { top: "fires, strongest", decile: "fires", silent: "silent", near_miss: "silent, near miss", random: "any text", wrong_marks: "wrong tokens marked", written: "written by the judge" };
const TOLD = { own: "This explanation", other: "Another latent's", empty: "None", lookup: "Table of tokens" };

/** The judgements of `part`, asked for at once. */
export function judged(part, { here, state, signal }) {
  const content = h("div", { class: "judged", tabindex: 0, role: "region", "aria-label": "Each judgement" }, h("p", { class: "muted small" }, "Reading…"));
  get(`${here}/judgements`, { query: { part }, signal })
    .then((answer) => draw(content, answer, state))
    .catch((error) => error.name !== "AbortError" && fill(content, h("p", { class: "small", role: "alert" }, `${error.message} ${error.hint ?? ""}`)));
  return content;
}

function draw(content, answer, state) {
  if (!answer.judgements.length) return fill(content, h("p", { class: "muted small" }, "No judgement of this latent was kept."));
  const versions = [...new Set(answer.judgements.map((item) => item.told))];
  const told = versions.includes(state.told) ? state.told : versions[0];
  const choose = (name) => {
    state.choose({ told: name });
    draw(content, answer, state);
  };
  const buttons = versions.map((name) => h("button", { type: "button", "aria-pressed": String(name === told), onclick: () => choose(name) }, TOLD[name] ?? name));
  const items = answer.judgements.filter((item) => item.told === told);
  // One scale for what the latent does and what the judge said it does.
  const top = Math.max(...answer.judgements.flatMap((item) => [...item.values, ...item.said].map((value) => value ?? 0)), 1e-9);
  return fill(
    content,
    h("div", { class: "head" }, versions.length > 1 && [h("span", { class: "small muted" }, "The judge was told"), h("div", { class: "segments segments--small", role: "group", "aria-label": "What the judge was told" }, buttons)], h("span", { class: "small muted" }, summary(items))),
    h("ol", { class: "judged__list" }, items.map((item) => row(item, top))),
    answer.total > answer.judgements.length && h("p", { class: "muted small" }, `The first ${count(answer.judgements.length)} of ${plural(answer.total, "judgement")}.`),
  );
}

function summary(items) {
  const decided = items.filter((item) => item.is_right !== null);
  const right = decided.filter((item) => item.is_right).length;
  const failed = items.filter((item) => item.failure).length;
  return [plural(items.length, "judgement"), decided.length > 0 && `${count(right)} right`, failed > 0 && `${count(failed)} without an answer`].filter(Boolean).join(" · ");
}

function row(item, top) {
  const marks = new Set(item.marked);
  return h(
    "li",
    { class: "judged__row" },
    h("span", { class: "judged__mark", "data-right": item.is_right === null ? null : String(item.is_right) }, verdict(item)),
    h("span", { class: "judged__what small" }, kind(item), h("span", { class: "muted" }, answerOf(item))),
    h(
      "div",
      { class: "judged__text" },
      item.tokens.length ? sequence(item.tokens, item.values, { top, peak: item.peak, marks }) : h("span", { class: "muted small" }, "The text is not known any more."),
      item.said.length > 0 && [h("span", { class: "muted small" }, "as the judge said"), sequence(item.tokens, item.said, { top })],
    ),
  );
}

function kind(item) {
  return [KINDS[item.kind] ?? item.kind, item.decile !== null && `, tenth ${item.decile + 1}`].filter(Boolean).join("");
}

function verdict({ is_right: isRight, failure }) {
  if (failure) return ["–", unseen("no answer")];
  if (isRight === null) return "";
  return isRight ? ["✓", unseen("right")] : ["✗", unseen("wrong")];
}

function answerOf(item) {
  if (item.failure) return item.failure;
  const parts = [item.says !== null && (item.says ? "said yes" : "said no"), item.answer !== null && `answer ${number(item.answer, 2)}`, item.said.length > 0 && item.truth !== null && `truth ${activation(item.truth)}`];
  return parts.filter(Boolean).join(" · ");
}
