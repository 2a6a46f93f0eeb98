// The runs being served; with one run, its overview.

import { address } from "../api.js";
import { h } from "../dom.js";
import { plural } from "../format.js";
import { overviewPage } from "./overview.js";

export async function runsPage(context) {
  const { runs, router } = context;
  if (runs.length === 1) {
    router.note(address.run(runs[0].id));
    return overviewPage({ ...context, params: { run: runs[0].id } });
  }
  const rows = runs.map((run) => (run.problem ? damaged(run) : sound(run)));
  return {
    title: "Runs",
    node: h("div", { class: "stack" }, h("h1", {}, plural(runs.length, "run")), h("div", { class: "grid" }, rows)),
  };
}

function sound(run) {
  return h(
    "a",
    { class: "panel run", href: address.run(run.id) },
    h("h2", {}, run.name),
    h("p", { class: "lead" }, `${run.model} · ${run.site}`),
    h("p", { class: "muted small" }, `${plural(run.saes.length, "SAE")}: ${run.saes.join(", ")}`),
  );
}

function damaged(run) {
  return h("div", { class: "panel run" }, h("h2", {}, run.name), h("p", { class: "muted small" }, run.problem));
}
