// Files of a study's report, to be saved: the server knows each by its number.

import { h } from "../dom.js";
import { number } from "../format.js";

/** `/api` and the address of a file; the router leaves it to the browser. */
export function fileAddress(study, file) {
  return `/api/studies/${encodeURIComponent(study.id)}/files/${file}`;
}

/** Short links to the forms in which one table or figure is kept: "CSV", "PNG, dark". */
export function forms(study, numbers) {
  const found = numbers.map((file) => study.files.find((each) => each.number === file)).filter(Boolean);
  if (!found.length) return null;
  const files = found.toSorted((a, b) => form(a.name).includes("dark") - form(b.name).includes("dark"));
  return h("p", { class: "muted small forms" }, "Save as ", files.map((file) => h("a", { href: fileAddress(study, file.number), download: "" }, form(file.name))));
}

function form(name) {
  const [, dark, ending] = /(\.dark)?\.([a-z]+)$/.exec(name) ?? [null, "", name];
  const word = ending === "parquet" ? "Parquet" : ending.toUpperCase();
  return dark ? `${word}, dark` : word;
}

/** All files, by folder. */
export function downloads(study, files) {
  const folders = new Map();
  for (const file of files) {
    const folder = file.name.includes("/") ? file.name.split("/")[0] : "";
    folders.set(folder, [...(folders.get(folder) ?? []), file]);
  }
  return h("div", { class: "panel files" }, [...folders].map(([name, items]) => h("details", { open: name === "" }, h("summary", {}, name || "report", h("span", { class: "muted small" }, ` ${items.length}`)), h("ul", { class: "files__list small" }, items.map((file) => entry(study, file))))));
}

function entry(study, file) {
  return h("li", {}, h("a", { href: fileAddress(study, file.number), download: "" }, file.name.split("/").at(-1)), h("span", { class: "muted" }, ` ${size(file.n_bytes)}`));
}

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${number(bytes / 1000, 2)} kB` : `${number(bytes / 1e6, 2)} MB`;
}
