// The columns of the table of latents: their heads, and the cells of a row.

import { latentLink } from "../card.js";
import { h } from "../dom.js";
import { activation, count, number, percent, rarity, words } from "../format.js";
import { sortHead } from "../table_parts.js";
import { chips, tokenText } from "../tokens.js";
import { orderOf, shownOf } from "./query.js";

const USUAL = {
  index: { title: "Latent", least: 84, rising: true },
  explanation: { title: "Explanation", least: 240, most: "1fr", rising: true },
  score: { title: "Score", least: 138, numeric: true, sortBy: "score_low" },
  tokens: { title: "Top tokens", least: 150, most: "300px", fixed: true, tip: "The tokens of its strongest examples, strongest first" },
  density: { title: "Density", least: 104, numeric: true, tip: "Share of scanned tokens on which it is not zero" },
  max: { title: "Max", least: 92, numeric: true, tip: "Largest activation on the scanned text" },
};
/** Further columns that are shares of tokens or places, as densities are. */
const SHARES = /^(density_|fires_there$)/;
const ORDER = "Sorts by the lower end of its 95 % interval (score − 1.96 standard errors), so that what rests on little is not first. Point at a score for its interval and n.";
const FURTHER = { least: 128, numeric: true };

/** The columns of a table, in order: the usual ones, those of a search beside the words, those chosen at the end. */
export function columnsOf(query, { search = null, columns = [], scoreName = "" }) {
  const usual = (name) => ({ name, ...USUAL[name] });
  const found = (search?.columns ?? []).map(({ name, definition }, i) => ({ name, title: words(name), tip: definition, ...FURTHER, sortBy: i === 0 ? "relevance" : null, fixed: i > 0 }));
  const defined = new Map(columns.map(({ name, definition }) => [name, definition]));
  const chosen = shownOf(query).map((name) => ({ name, title: words(name), tip: defined.get(name), ...FURTHER }));
  const score = { ...usual("score"), tip: scoreName ? `${words(scoreName)}. ${ORDER}` : "No scores yet" };
  const density = query.role ? { ...usual("density"), tip: `Share of the tokens of the role ${query.role} on which it is not zero` } : usual("density");
  return [usual("index"), usual("explanation"), ...found, score, usual("tokens"), density, usual("max"), ...chosen];
}

/** The widths of all columns, for the grid of every row, and the least that they come to. */
export function widths(columns) {
  const told = columns.map(({ least, most }) => (most ? `minmax(${least}px, ${most})` : `${least}px`));
  return { "--columns": told.join(" "), "--least": `${columns.reduce((sum, { least }) => sum + least, 0)}px` };
}

/** What to ask for when the head of a column is pressed: the way that is of use first, then the other. */
export function nextSort(query, column, { hasScores }) {
  const { sort, order } = orderOf(query, { hasScores });
  const name = column.sortBy ?? column.name;
  if (sort === name) return { sort, order: order === "descending" ? "ascending" : "descending" };
  return { sort: name, order: column.rising ? "ascending" : "descending" };
}

/** The row of heads. */
export function header(columns, query, { hasScores, sortBy }) {
  const { sort, order } = orderOf(query, { hasScores });
  const cell = (column) => {
    const isByEnd = column.name === "score" && sort === column.sortBy;
    const title = h("span", { class: "latents__title" }, isByEnd ? `${column.title}, lower end` : column.title);
    const props = { role: "columnheader", data: column.tip ? { tip: column.tip } : {} };
    if (column.fixed) return h("th", { scope: "col", class: column.numeric ? "num" : null, ...props }, title);
    const sorted = [column.sortBy, column.name].includes(sort);
    return sortHead(title, { name: column.name, order: sorted ? order : null, numeric: column.numeric, sort: () => sortBy(column), props });
  };
  return h("tr", { role: "row", "aria-rowindex": 1 }, columns.map(cell));
}

/** One row; `latent` is null while it is on its way. */
export function bodyRow(columns, latent, { index, run, sae, open }) {
  const onclick = (event) => latent && !event.target.closest("a") && !String(getSelection()) && open(latent.index);
  const cells = columns.map((column) => (latent ? cellOf(column, latent, run, sae) : cell(column, null)));
  return h("tr", { role: "row", "aria-rowindex": index + 2, "aria-busy": latent ? null : "true", tabindex: -1, data: { row: index }, onclick }, cells);
}

function cellOf(column, latent, run, sae) {
  const { name } = column;
  if (name === "index") return cell(column, focusless(latentLink(run, sae, latent.index, String(latent.index))));
  if (name === "explanation") return cell(column, wordsOf(latent));
  if (name === "score") return cell(column, scoreOf(latent));
  if (name === "tokens") return cell(column, chips(latent.top_tokens));
  if (name === "density") return cell(column, [h("span", { data: { tip: rarity(latent.density) } }, percent(latent.density)), densityBar(latent.density)]);
  if (name === "max") return cell(column, activation(latent.max));
  return cell(column, SHARES.test(name) ? percent(latent.more[name]) : further(latent.more[name]));
}

function cell(column, content) {
  return h("td", { role: "gridcell", class: `latents__${column.name in USUAL ? column.name : "further"}${column.numeric ? " num" : ""}`, "data-label": column.numeric ? column.name : null }, content);
}

function wordsOf(latent) {
  if (latent.explanation !== null) return h("span", { class: "latents__words" }, tokenText(latent.explanation));
  return h("span", { class: "latents__words muted" }, latent.density === 0 ? "never fired" : "no explanation");
}

/** The score, with how sure it is. */
function scoreOf({ score, score_low, score_n }) {
  if (score === null || score_n === null) return number(score, 2);
  const interval = score_low === null ? "no error known" : `95 % interval from ${number(score_low, 2)}`;
  return h("span", { data: { tip: `${interval}\nn = ${count(score_n)}` } }, number(score, 2));
}

/** Counts stay whole. */
function further(value) {
  return Number.isInteger(value) ? count(value) : number(value, 3);
}

/** One row is a stop of the tab key, and the table moves it. */
function focusless(link) {
  link.tabIndex = -1;
  return link;
}

/** Density on a log scale from one token in a million to every token. */
function densityBar(density) {
  const share = density > 0 ? Math.min(Math.max(1 + Math.log10(density) / 6, 0.02), 1) : 0;
  return h("span", { class: "bar-log", "aria-hidden": "true", vars: { "--share": `${(share * 100).toFixed(1)}%` } });
}
