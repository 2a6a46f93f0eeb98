// The latents that two SAEs share: how similar the nearest direction of each is, and the pairs themselves, with their cards.

import { fill, h } from "../dom.js";
import { term } from "../float.js";
import { Z_95, count, number, percent, plural } from "../format.js";
import { cosines } from "./cosines.js";
import { partners } from "./partners.js";
import { ProgressLine, finished } from "./wait.js";

const ABOUT = "Each latent is matched with the latent of the other SAE whose decoder direction has the largest cosine with its own. Latents that never fired take no part. The same direction need not fire on the same tokens: the study dictionaries compares codes too.";

export function overlap({ a, b }, { signal, state }) {
  const progress = new ProgressLine("Matching the latents");
  const place = h("div", { class: "stack", vars: { "--gap": "18px" } });
  const query = () => ({ a, b, order: state.query.order, mutual: state.query.mutual === "1" ? "true" : null, offset: state.query.from, limit: 30 });
  const ask = async () => {
    try {
      const answer = await finished("/compare/match", { query: query(), signal, told: (found) => progress.show(found.progress) });
      if (answer.match) draw(answer);
    } catch (error) {
      if (error.name !== "AbortError") fill(place, h("p", { class: "empty", role: "alert" }, error.message));
    }
  };
  const change = (changes) => {
    state.change({ from: null, ...changes });
    ask();
  };
  const list = h("div", {});
  const draw = (answer) => {
    if (!list.isConnected) fill(place, summary(answer.match, { a, b }), list);
    partners(list, answer, { a, b, state, change });
  };
  ask();
  return h("section", {}, h("div", { class: "head" }, h("h2", {}, term("Shared latents", ABOUT))), progress.node, place);
}

function summary(match, names) {
  const { a, b, n_mutual: mutual } = match;
  return h(
    "div",
    { class: "panel overlap" },
    h("div", {}, cosines(match, names)),
    h(
      "div",
      {},
      h("p", {}, h("b", {}, plural(mutual, "pair")), ` of latents are each other's nearest, of ${count(a.n)} and ${count(b.n)}.`),
      shares(match, names),
      h("p", { class: "muted small" }, [a, b].map((side, i) => side.left_out && `${[names.a, names.b][i]}: ${side.left_out}. `)),
    ),
  );
}

function shares({ a, b, thresholds }, names) {
  const mean = (side) => [number(side.mean_cosine, 3), side.standard_error !== null && h("span", { class: "error-bar" }, ` ± ${number(Z_95 * side.standard_error, 2)}`)];
  const share = (side, i) => [percent(side.shares[i]), h("span", { class: "error-bar" }, ` (chance ${percent(side.chance[i])})`)];
  const line = (title, tip, cells) => h("tr", {}, h("th", { scope: "row", class: "metrics__name" }, tip ? term(title, tip) : title), cells.map((cell) => h("td", { class: "num" }, cell)));
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "Shares of latents with a partner" },
    h(
      "table",
      { class: "metrics overlap__shares" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Latents of"), h("th", { scope: "col", class: "num" }, names.a), h("th", { scope: "col", class: "num" }, names.b))),
      h(
        "tbody",
        {},
        line("Mean max cosine", "MMCS: the mean over latents of the largest cosine with a direction of the other SAE. ± is 1.96 standard errors, which take latents for independent.", [mean(a), mean(b)]),
        thresholds.map((least, i) => line(`Partner of at least ${least}`, "Share of latents; chance: with as many random directions in place of the other SAE.", [share(a, i), share(b, i)])),
      ),
    ),
  );
}
