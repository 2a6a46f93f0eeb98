// The first view of a run: its SAEs at a glance, curves of training, densities, every metric, and how it was made.

import { address } from "../api.js";
import { chart } from "../chart.js";
import { fill, h } from "../dom.js";
import { term } from "../float.js";
import { count, plural } from "../format.js";
import { metricTable, titleOf, told } from "../metrics.js";

export const HEADLINE = ["ce_recovered", "explained_variance", "fvu", "l0", "dead_fraction"];

export function summaryView(run, { signal, state }) {
  return h(
    "div",
    { class: "stack", vars: { "--gap": "36px" } },
    run.saes.length ? h("div", { class: "grid" }, run.saes.map((sae) => saePanel(run, sae))) : nothing(),
    charts(run, { signal, state }),
    run.saes.some((sae) => sae.metrics.length) && metrics(run, state),
    facts(run.facts),
  );
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
    shown.length ? h("dl", { class: "tiles" }, shown.map(tile)) : h("p", { class: "muted small sae__none" }, "Not measured yet: ", h("code", {}, "monoseme eval")),
    sae.measured_as && h("p", { class: "muted small" }, `Measured on ${sae.measured_as}.`),
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
    h(
      "dd",
      {},
      h("span", { class: "tile__value" }, value),
      error && h("span", { class: "error-bar" }, "± ", term(error, "± is 1.96 standard errors: a 95 % interval.")),
      metric.value === null && h("span", { class: "small muted" }, ` ${metric.why_missing ?? ""}`),
      metric.name === "dead_fraction" && metric.n > 0 && h("div", { class: "small muted" }, `in ${plural(metric.n, "token")}`),
    ),
  );
}

function charts(run, { signal, state }) {
  const training = run.charts.filter((item) => item.group === "training");
  const others = run.charts.filter((item) => item.group !== "training");
  const path = (item) => `${address.run(run.id)}/charts/${encodeURIComponent(item.name)}`;
  if (!run.charts.length) return null;
  return h(
    "div",
    { class: "grid grid--charts" },
    training.length > 0 && switched(training, path, { signal, state }),
    others.map((item) => h("section", { class: "panel" }, h("div", { class: "head" }, h("h2", {}, item.title)), drawn(item, path, signal))),
  );
}

function drawn(item, path, signal) {
  return chart(path(item), { label: item.title, caption: item.caption, height: 270, signal });
}

/** One box for several charts, with a choice of which. */
function switched(items, path, { signal, state }) {
  const holder = h("div", {});
  const draw = (item) => holder.replaceChildren(drawn(item, path, signal));
  const chosen = items.find((item) => item.name === state.query.curve) ?? items[0];
  const choose = (name) => {
    state.change({ curve: name === items[0].name ? null : name });
    draw(items.find((item) => item.name === name));
  };
  const pick = h(
    "select",
    { class: "field", "aria-label": "Curve of training", onchange: (event) => choose(event.target.value) },
    items.map((item) => h("option", { value: item.name, selected: item === chosen }, item.title)),
  );
  draw(chosen);
  return h("section", { class: "panel", "aria-label": "Training" }, h("div", { class: "head" }, pick), holder);
}

function metrics(run, state) {
  const domains = [...new Set(run.saes.flatMap((sae) => Object.keys(sae.domains)))];
  const holder = h("div", { class: "panel panel--flush" });
  const spread = h("span", { class: "muted small" });
  const draw = () => {
    const { domain, error } = state.query;
    const saes = domains.includes(domain) ? run.saes.map((sae) => ({ ...sae, metrics: sae.domains[domain] ?? [] })) : run.saes;
    fill(holder, metricTable(saes, { error }));
    fill(spread, error === "interval" ? "value [95 % interval], bootstrap over documents" : "value ± 1.96 standard errors (95 % interval), bootstrap over documents");
  };
  const change = (changes) => {
    state.change(changes);
    draw();
  };
  const text = h(
    "select",
    { class: "field", "aria-label": "Which text", onchange: (event) => change({ domain: event.target.value || null }) },
    h("option", { value: "" }, "All text"),
    domains.map((domain) => h("option", { value: domain, selected: domain === state.query.domain }, domain.replaceAll("_", " "))),
  );
  const errors = h(
    "select",
    { class: "field", "aria-label": "How errors are told", onchange: (event) => change({ error: event.target.value || null }) },
    h("option", { value: "" }, "± half interval"),
    h("option", { value: "interval", selected: state.query.error === "interval" }, "[low to high]"),
  );
  draw();
  return h("section", {}, h("div", { class: "head" }, h("h2", {}, run.has_given_saes ? "What was measured" : "Measured on held-out text"), spread, h("div", { class: "head__end overview__picks" }, domains.length > 0 && text, errors)), holder);
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
