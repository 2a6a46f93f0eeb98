// What `monoseme study` found: the list of studies, and the report of each.

import { address, get } from "../api.js";
import { h } from "../dom.js";
import { count, plural } from "../format.js";
import { metricTable } from "../metrics.js";
import { prose } from "../prose.js";
import { figure } from "../studies/figures.js";
import { findings, tally } from "../studies/findings.js";
import { downloads } from "../studies/files.js";
import { StudyTable } from "../studies/table.js";

export async function studiesPage({ params, signal }) {
  const studies = await get("/studies", { signal });
  return {
    title: "Studies",
    section: "studies",
    node: h(
      "div",
      { class: "stack" },
      h("div", {}, h("h1", {}, "Studies"), h("p", { class: "lead" }, "What studies of SAEs found: each with its tables and figures, and how it held against what papers claim.")),
      studies.length ? h("ul", { class: "grid studies" }, studies.map((study) => entry(params.run, study))) : none(),
    ),
  };
}

function none() {
  return h(
    "div",
    { class: "notice" },
    h("h2", {}, "No study yet"),
    h("p", {}, "Studies are looked for in the folder ", h("code", { class: "mono" }, "studies"), " of a run and beside it, and in folders that are given to ", h("code", { class: "mono" }, "monoseme serve"), "."),
    h("p", { class: "small" }, "See what there is with ", h("code", { class: "mono" }, "monoseme study --help"), ", then reload this page."),
  );
}

function entry(run, study) {
  const title = study.title || study.id;
  const finished = study.state === "finished";
  return h(
    "li",
    { class: "panel study" },
    h("div", { class: "head" }, h("h2", {}, finished ? h("a", { href: address.study(run, study.id) }, title) : title), h("span", { class: "badge" }, finished ? study.study : study.state)),
    finished
      ? h("p", { class: "small" }, [tally(study), plural(study.n_tables, "table"), plural(study.n_figures, "figure")].filter(Boolean).join(" · "))
      : h("p", { class: "small study__problem" }, study.problem),
    h("p", { class: "muted small mono study__path" }, study.path),
  );
}

export async function studyPage({ params, query, signal, router }) {
  const study = await get(`/studies/${encodeURIComponent(params.study)}`, { signal });
  const view = new Report(params, query, study, { signal, router });
  return { title: study.title, section: "studies", node: view.node };
}

class Report {
  constructor({ run }, query, study, { signal, router }) {
    Object.assign(this, { run, study, signal, router, query: { ...query } });
    const shown = study.tables.filter((table) => table.is_shown);
    const hidden = study.tables.filter((table) => !table.is_shown);
    this.node = h(
      "div",
      { class: "stack study__page", vars: { "--gap": "34px" } },
      this.opening(),
      study.findings.length > 0 && section("Findings", tally({ n_findings: study.findings.length, n_reproduced: study.findings.filter((each) => each.verdict === "reproduced").length }), findings(study.findings)),
      study.figures.length > 0 && h("section", { class: "study__figures", "aria-label": "Figures" }, study.figures.map((each) => figure(study, each, signal))),
      study.metrics.length > 0 && section("Metrics", "value ± 1.96 standard errors (95 % interval)", h("div", { class: "panel panel--flush" }, metricTable(study.metrics, { marksBest: false }))),
      shown.map((table) => this.table(table)),
      hidden.length > 0 && this.further(hidden),
      section("Files", plural(study.files.length, "file"), downloads(study, study.files)),
    );
  }

  opening() {
    const { study } = this;
    return h(
      "div",
      {},
      h("p", { class: "small study__crumb" }, h("a", { href: address.studies(this.run) }, "Studies"), h("span", { class: "muted" }, ` / ${study.study}`)),
      h("h1", {}, study.title),
      h("div", { class: "prose" }, prose(study.text)),
      h("details", { class: "study__command" }, h("summary", { class: "small" }, "How it was made"), h("pre", { class: "mono" }, study.command)),
    );
  }

  table(about) {
    if (!about.n_rows) return section(about.name.replaceAll("_", " "), "no rows");
    const made = new StudyTable(this.study, about, { state: this.query, note: (changes) => this.note(changes), signal: this.signal });
    return section(about.name.replaceAll("_", " "), `${plural(about.n_rows, "row")}, ${plural(about.n_columns, "column")}`, made.node);
  }

  /** Tables for programs are drawn when somebody wants to see them. */
  further(tables) {
    const line = (about) => {
      const holder = h("details", { class: "panel study__further", ontoggle: () => holder.childElementCount === 1 && holder.append(this.table(about)) }, h("summary", {}, about.name.replaceAll("_", " "), h("span", { class: "muted small" }, ` ${count(about.n_rows)} rows`)));
      return holder;
    };
    return section("Further tables", "for programs", tables.map(line));
  }

  /** The order of each table is in the address. */
  note(changes) {
    Object.assign(this.query, changes);
    const told = Object.fromEntries(Object.entries(this.query).filter(([, value]) => value));
    const search = new URLSearchParams(told).toString();
    this.router.note(`${address.study(this.run, this.study.id)}${search && `?${search}`}`);
  }
}

function section(title, aside, ...content) {
  return h("section", {}, h("div", { class: "head" }, h("h2", { class: "study__title" }, title), aside && h("span", { class: "muted small" }, aside)), content);
}
