// A run at a glance: what was measured and how training went; the map of each dictionary; two SAEs against each other.

import { address, get, search } from "../api.js";
import { fill, h } from "../dom.js";
import { summaryView } from "../overview/summary.js";

const VIEWS = [
  ["summary", "Summary", async () => summaryView],
  ["map", "Map", async () => (await import("../overview/map_view.js")).mapView],
  ["compare", "Two SAEs", async () => (await import("../overview/compare_view.js")).compareView],
];
/** What each view keeps in the address; the rest goes when another is chosen. */
const COMMON = new Set(["view", "sae"]);

export async function overviewPage({ params, query, signal, router, runs }) {
  const run = await get(address.run(params.run), { signal });
  const page = new Overview(run, query, { signal, router, runs });
  await page.draw();
  return { title: run.name, section: "overview", keys: page.keys(), node: page.node };
}

class Overview {
  constructor(run, query, { signal, router, runs }) {
    Object.assign(this, { run, signal, router, runs });
    const change = (changes, options) => this.change(changes, options);
    this.state = { query: { ...query }, change };
    this.views = h("div", { class: "segments", role: "group", "aria-label": "Views of the run" });
    this.place = h("div", {});
    const head = h("div", { class: "head overview__head" }, h("div", {}, h("h1", {}, run.name), h("p", { class: "lead" }, lead(run))), h("div", { class: "head__end" }, this.views));
    this.node = h("div", { class: "stack", vars: { "--gap": "24px" } }, head, this.place);
  }

  get view() {
    return VIEWS.find(([name]) => name === this.state.query.view) ?? VIEWS[0];
  }

  /** Notes a change in the address; a drag or a click can be taken back with "back" where `replace` is false. */
  change(changes, { replace = true } = {}) {
    Object.assign(this.state.query, changes);
    this.router.note(address.run(this.run.id) + search(this.state.query), { replace });
  }

  async show(name) {
    const kept = Object.fromEntries(Object.entries(this.state.query).filter(([key]) => COMMON.has(key)));
    await this.router.go(address.run(this.run.id) + search({ ...kept, view: name === VIEWS[0][0] ? null : name }));
    document.querySelector(".overview__head [aria-pressed=true]")?.focus({ preventScroll: true });
  }

  async draw() {
    const [shown, , load] = this.view;
    fill(this.views, VIEWS.map(([name, title], i) => h("button", { type: "button", "aria-pressed": String(name === shown), "aria-keyshortcuts": String(i + 1), onclick: () => this.show(name) }, title)));
    const view = await load();
    const { signal, state, runs, router } = this;
    fill(this.place, view(this.run, { signal, state, runs, router }));
  }

  keys() {
    return Object.fromEntries(VIEWS.map(([name, title], i) => [String(i + 1), { run: () => this.show(name), says: title.charAt(0).toLowerCase() + title.slice(1) }]));
  }
}

/** The last part of a path; the whole of it stands among the facts. */
function fileName(path) {
  return path.split("/").findLast(Boolean) ?? path;
}

function lead(run) {
  return [
    "Sparse autoencoders on ",
    h("b", {}, run.model === "bundled" ? "the bundled model" : run.model),
    run.site && [" at ", h("span", { class: "mono" }, run.site)],
    run.corpus && [run.has_given_saes ? ", measured on " : ", trained on ", h("b", {}, run.corpus === "bundled" ? "the bundled text" : fileName(run.corpus))],
    run.has_given_saes ? "; how it was trained is not known here." : ".",
  ];
}
