// What the table of latents is asked for, as the address of its page has it.

/** Names of the API's filters; the page's address has them under the same names. */
const FILTERS = ["q", "by", "where", "state", "role", "only", "density_min", "density_max", "max_min", "max_max", "score_min", "score_max"];
const PAGE = ["sort", "order", "show", "row", "plots", "y"];

/** The state that an address holds; what is not in it has its default. */
export function fromAddress(query) {
  const known = [...FILTERS, ...PAGE].filter((name) => query[name] !== undefined && query[name] !== "");
  return Object.fromEntries(known.map((name) => [name, query[name]]));
}

/** Whether the search puts latents in an order. */
function ranks(query) {
  return Boolean(query.q?.trim()) && (query.by ?? "contains") !== "contains";
}

// The surely best explained first: the table is a place to begin, those are the latents one can read, and a score from four
// firings is no reason to be first.
export function sortOf(query) {
  const sort = query.sort ?? (ranks(query) ? "relevance" : "score_low");
  return { sort, order: query.order ?? "descending" };
}

/** The order that the rows of an answer stand in: where nothing is scored, the server takes the maximum. */
export function orderOf(query, { hasScores }) {
  const asked = sortOf(query);
  return asked.sort === "score_low" && !hasScores ? { ...asked, sort: "max" } : asked;
}

/** The filters alone, as the API takes them. */
export function filtersOf(query) {
  const told = Object.fromEntries(FILTERS.map((name) => [name, query[name]]).filter(([, value]) => value !== undefined && value !== null));
  return { ...told, state: query.state ?? "alive" };
}

/** A page of rows, as the API takes it. */
export function pageOf(query, offset, limit) {
  return { ...filtersOf(query), ...sortOf(query), show: query.show, offset, limit };
}

/** The columns chosen beside the usual ones. */
export function shownOf(query) {
  return query.show ? query.show.split(",") : [];
}

/** Whether plots stand over the table: a phone has room for them only when asked. */
export function plotsShown(query) {
  return query.plots ? query.plots === "on" : matchMedia("(min-width: 721px)").matches;
}

/** The query without anything that leaves latents out. */
export function cleared(query) {
  const kept = Object.fromEntries(Object.entries(query).filter(([name]) => !FILTERS.includes(name) && name !== "row"));
  return { ...kept, state: "all" };
}

/** Whether anything but the usual state is asked for. */
export function isFiltered(query) {
  return FILTERS.some((name) => query[name] !== undefined && query[name] !== null && query[name] !== "" && name !== "by" && !(name === "state" && query.state === "all"));
}
