// The runs being served, side by side; with one run, its overview.

import { address, get, search } from "../api.js";
import { fill, h } from "../dom.js";
import { keepingFocus } from "../focus.js";
import { count, plural } from "../format.js";
import { metricTable, missing, titleOf, told } from "../metrics.js";
import { HEADLINE } from "../overview/summary.js";
import { sortHead } from "../table_parts.js";
import { overviewPage } from "./overview.js";
import { studiesPage } from "./studies.js";

/** SAEs that may stand side by side: more columns than this fit no screen. */
const MOST = 6;

export async function runsPage(context) {
  const { runs, router, query, signal } = context;
  if (!runs.length) return studiesPage(context);
  if (runs.length === 1) {
    router.note(address.run(runs[0].id) + search(query));
    return overviewPage({ ...context, params: { run: runs[0].id } });
  }
  const view = new Runs(await get("/measured", { signal }), query, router);
  return { title: "Runs", section: "runs", node: view.node };
}

class Runs {
  constructor(runs, query, router) {
    this.router = router;
    this.query = { sort: query.sort ?? "", pick: (query.pick ?? "").split(",").filter(Boolean) };
    this.saes = runs.flatMap((run) => run.saes.map((sae) => ({ ...sae, run, key: `${run.id}:${sae.name}` })));
    this.table = h("div", { class: "panel panel--flush" });
    this.beside = h("section", { "aria-live": "polite" });
    const damaged = runs.filter((run) => run.problem);
    this.node = h(
      "div",
      { class: "stack" },
      h("div", {}, h("h1", {}, plural(runs.length, "run")), h("p", { class: "lead" }, "Open a run, or choose SAEs to see all that was measured on them side by side.")),
      this.table,
      this.beside,
      damaged.map((run) => h("div", { class: "notice notice--bad" }, h("h2", {}, run.name), h("p", { class: "small" }, run.problem))),
    );
    this.draw();
  }

  change(changes) {
    Object.assign(this.query, changes);
    const { sort, pick } = this.query;
    this.router.note(`/${search({ sort, pick: pick.join(",") })}`);
    keepingFocus(this.table, () => this.draw());
  }

  draw() {
    const columns = HEADLINE.filter((name) => name !== "fvu" && this.saes.some((sae) => metricOf(sae, name)));
    const heads = [["run", "Run"], ["name", "SAE"], ["site", "Site"], ["n_latents", "Latents"], ...columns.map((name) => [name, titleOf(name)])];
    const rows = sorted(this.saes, this.query.sort);
    fill(this.table, h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "SAEs of all runs" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "sr-only" }, "Side by side")), heads.map(([key, title], i) => this.heading(key, title, i > 2)))), h("tbody", {}, rows.map((sae) => this.row(sae, columns))))));
    this.drawBeside();
  }

  heading(key, title, numeric) {
    const { sort } = this.query;
    const is = sort.replace(/^-/, "") === key;
    const next = !is ? (numeric ? `-${key}` : key) : sort.startsWith("-") ? key : `-${key}`;
    const order = is ? (sort.startsWith("-") ? "descending" : "ascending") : null;
    return sortHead(title, { name: key, order, numeric, sort: () => this.change({ sort: next }) });
  }

  row(sae, columns) {
    const { pick } = this.query;
    const on = pick.includes(sae.key);
    const box = h("input", { type: "checkbox", checked: on, disabled: !on && pick.length >= MOST, "aria-label": `${sae.run.name} ${sae.name} side by side`, data: { focus: sae.key }, onchange: () => this.change({ pick: on ? pick.filter((key) => key !== sae.key) : [...pick, sae.key] }) });
    return h(
      "tr",
      {},
      h("td", {}, box),
      h("td", {}, h("a", { href: address.run(sae.run.id) }, sae.run.name), h("div", { class: "muted small" }, sae.run.model)),
      h("td", {}, link(sae)),
      h("td", { class: "mono runs__site" }, sae.site),
      h("td", { class: "num" }, count(sae.n_latents)),
      columns.map((name) => h("td", { class: "num" }, value(metricOf(sae, name)))),
    );
  }

  drawBeside() {
    const chosen = this.query.pick.map((key) => this.saes.find((sae) => sae.key === key)).filter(Boolean);
    if (!chosen.length) return fill(this.beside);
    const two = chosen.length === 2 && h("a", { class: "button head__end", href: address.run(chosen[0].run.id) + search({ view: "compare", a: chosen[0].key, b: chosen[1].key }) }, "Differences and shared latents");
    const named = chosen.map((sae) => ({ ...sae, name: `${sae.run.name} / ${sae.name}` }));
    return fill(this.beside, h("div", { class: "head" }, h("h2", {}, "Side by side"), h("span", { class: "muted small" }, "value ± 1.96 standard errors (95 % interval); runs on different text are not rivals"), two), h("div", { class: "panel panel--flush" }, metricTable(named)));
  }
}

/** An SAE whose parts or sites were scanned by themselves leads to the first of them. */
function link(sae) {
  const [first] = sae.scanned_as;
  return first ? h("a", { href: address.latents(sae.run.id, first) }, sae.name) : sae.name;
}

function metricOf(sae, name) {
  return sae.metrics.find((metric) => metric.name === name);
}

function value(metric) {
  if (!metric) return h("span", { class: "muted" }, "–");
  if (metric.value === null) return missing(metric.why_missing);
  const { value: shown, error } = told(metric);
  return [shown, error && h("span", { class: "error-bar" }, ` ± ${error}`)];
}

/** By a column, missing values last; as served without one. */
function sorted(saes, sort) {
  const key = sort.replace(/^-/, "");
  if (!key) return saes;
  const of = (sae) => ({ run: sae.run.name, name: sae.name, site: sae.site, n_latents: sae.n_latents })[key] ?? metricOf(sae, key)?.value ?? null;
  const sign = sort.startsWith("-") ? -1 : 1;
  return saes.toSorted((one, other) => {
    const [a, b] = [of(one), of(other)];
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
  });
}
