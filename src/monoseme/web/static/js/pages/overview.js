// A run at a glance: what it was made from, what was measured, how training went, how often latents fire.

import { address, get } from "../api.js";
import { chart } from "../chart.js";
import { h } from "../dom.js";
import { term } from "../float.js";
import { count } from "../format.js";
import { metricTable, titleOf, told } from "../metrics.js";

const HEADLINE = ["ce_recovered", "explained_variance", "fvu", "l0", "dead_fraction"];

export async function overviewPage({ params, signal }) {
  const run = await get(address.run(params.run), { signal });
  return {
    title: run.name,
    section: "overview",
    node: h(
      "div",
      { class: "stack", vars: { "--gap": "36px" } },
      h("div", {}, h("h1", {}, run.name), h("p", { class: "lead" }, lead(run))),
      run.saes.length ? h("div", { class: "grid" }, run.saes.map((sae) => saePanel(run, sae))) : nothing(),
      charts(run, signal),
      run.saes.some((sae) => sae.metrics.length) && metrics(run),
      facts(run.facts),
    ),
  };
}

function lead(run) {
  return [
    "Sparse autoencoders on ",
    h("b", {}, run.model === "bundled" ? "the bundled model" : run.model),
    run.site && [" at ", h("span", { class: "mono" }, run.site)],
    run.corpus && [", trained on ", h("b", {}, run.corpus === "bundled" ? "the bundled text" : run.corpus)],
    ".",
  ];
}

function nothing() {
  return h("div", { class: "notice" }, h("h2", {}, "No SAE yet"), h("p", {}, "This run has not finished training one. Reload the page when it has."));
}

function saePanel(run, sae) {
  const numbers = HEADLINE.map((name) => sae.metrics.find((metric) => metric.name === name)).filter(Boolean);
  const shown = numbers.filter((metric) => metric.name !== "fvu" || !numbers.some((other) => other.name === "explained_variance"));
  return h(
    "section",
    { class: "panel sae", "aria-label": sae.name },
    h("div", { class: "head" }, h("h2", {}, sae.name), h("span", { class: "muted small" }, described(sae, run))),
    h("dl", { class: "tiles" }, shown.map(tile)),
    h(
      "div",
      { class: "sae__links" },
      sae.has_atlas
        ? h("a", { class: "button button--main", href: address.latents(run.id, sae.name) }, "Browse latents")
        : h("span", { class: "muted small" }, sae.why_no_atlas),
      h("a", { class: "button", href: address.prompt(run.id, sae.name) }, "Try a prompt"),
    ),
  );
}

/** What tells this SAE from the others: only what its name does not say already. */
function described(sae, run) {
  const sites = new Set(run.saes.map((other) => other.site));
  return [
    sae.architecture !== sae.name && sae.architecture,
    sae.n_latents && `${count(sae.n_latents)} latents`,
    sae.config.k && `k = ${count(sae.config.k)}`,
    sites.size > 1 && sae.site,
  ]
    .filter(Boolean)
    .join(" · ");
}

function tile(metric) {
  const { value, error } = told(metric);
  return h(
    "div",
    { class: "tile" },
    h("dt", {}, term(titleOf(metric.name), metric.definition)),
    h("dd", {}, h("span", { class: "tile__value" }, value), error && h("span", { class: "error-bar" }, `± ${error}`), metric.value === null && h("span", { class: "small muted" }, ` ${metric.why_missing ?? ""}`)),
  );
}

function charts(run, signal) {
  const training = run.charts.filter((item) => item.group === "training");
  const others = run.charts.filter((item) => item.group !== "training");
  const path = (item) => `${address.run(run.id)}/charts/${encodeURIComponent(item.name)}`;
  if (!run.charts.length) return null;
  return h(
    "div",
    { class: "grid grid--charts" },
    training.length > 0 && switched(training, path, signal),
    others.map((item) => h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, item.title)), drawn(item, path, signal))),
  );
}

function drawn(item, path, signal) {
  return chart(path(item), { label: item.title, caption: item.caption, height: 270, signal });
}

/** One box for several charts, with a choice of which. */
function switched(items, path, signal) {
  const holder = h("div", {});
  const draw = (item) => holder.replaceChildren(drawn(item, path, signal));
  const pick = h(
    "select",
    { class: "field", "aria-label": "Curve of training", onchange: (event) => draw(items[Number(event.target.value)]) },
    items.map((item, i) => h("option", { value: i }, item.title)),
  );
  draw(items[0]);
  return h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, pick)), holder);
}

function metrics(run) {
  const holder = h("div", { class: "panel panel--flush" }, metricTable(run.saes));
  const domains = [...new Set(run.saes.flatMap((sae) => Object.keys(sae.domains)))];
  const draw = (domain) => holder.replaceChildren(...metricTable(domain ? run.saes.map((sae) => ({ ...sae, metrics: sae.domains[domain] ?? [] })) : run.saes).filter(Boolean));
  const pick = h(
    "select",
    { class: "field head__end", "aria-label": "Which text", onchange: (event) => draw(event.target.value) },
    h("option", { value: "" }, "All text"),
    domains.map((domain) => h("option", { value: domain }, domain.replaceAll("_", " "))),
  );
  return h(
    "section",
    {},
    h("div", { class: "head" }, h("h2", {}, "Measured on held-out text"), h("span", { class: "muted small" }, "value ± standard error, bootstrap over documents"), domains.length > 0 && pick),
    holder,
  );
}

function facts(items) {
  if (!items.length) return null;
  return h(
    "section",
    {},
    h("div", { class: "head" }, h("h2", {}, "How it was made")),
    h("dl", { class: "facts" }, items.map((fact) => h("div", {}, h("dt", {}, term(fact.label, fact.help)), h("dd", {}, fact.value)))),
  );
}
