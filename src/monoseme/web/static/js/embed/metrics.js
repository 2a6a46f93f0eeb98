// The table of metrics by itself.

import { h } from "../dom.js";
import { metricTable } from "../metrics.js";
import { embed } from "./page.js";

embed((run) => h("section", { class: "stack", vars: { "--gap": "14px" } }, h("h1", {}, run.name), h("div", { class: "panel panel--flush" }, metricTable(run.saes))));
