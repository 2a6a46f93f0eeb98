// What the prompt page is showing, and the address that says so: every choice is a parameter, and a default is left out.

export const SORTS = [
  ["share", "Closest to own max", "Largest activation here over the largest in the scanned corpus"],
  ["value", "Strongest", "Largest activation on the tokens in question"],
  ["density", "Rarest", "Density in the scanned corpus"],
  ["n_tokens", "Most tokens", "Number of the tokens in question on which it fires"],
  ["peak", "In order of text", "Position of the token on which it is strongest"],
];
/** Densest latents listed, as fractions of all tokens. */
export const DENSITIES = [0.001, 0.01, 0.1, 1];
export const THRESHOLD = { least: 0, most: 0.95, step: 0.05, usual: 0.05 };
export const FACTOR = { least: -10, most: 10, step: 0.5, usual: 0 };
const ROWS = 60;

/** The state that an address asks for; what it does not know or cannot be is left at its default. */
export function stateOf(query) {
  return {
    text: query.text ?? "",
    view: query.view ?? "latents",
    chosen: [...new Set((query.token ?? "").split(",").map(whole).filter((at) => at !== null))],
    latent: whole(query.latent),
    sort: SORTS.some(([key]) => key === query.sort) ? query.sort : SORTS[0][0],
    density: DENSITIES.find((most) => String(most) === query.density) ?? 0.1,
    first: query.first !== "0",
    rows: Math.max(whole(query.rows) ?? ROWS, ROWS),
    layer: whole(query.layer),
    threshold: within(query.threshold, THRESHOLD),
    factor: within(query.factor, FACTOR),
    method: query.method ?? "additive",
    unit: ["max", "norm"].includes(query.unit) ? query.unit : "raw",
    part: query.part ?? null,
  };
}

export function queryOf(state) {
  const unless = (value, usual) => (value === usual ? null : String(value));
  return {
    text: state.text,
    view: unless(state.view, "latents"),
    token: state.chosen.join(","),
    latent: state.latent,
    sort: unless(state.sort, SORTS[0][0]),
    density: unless(state.density, 0.1),
    first: state.first ? null : "0",
    rows: unless(state.rows, ROWS),
    layer: state.layer,
    threshold: unless(state.threshold, THRESHOLD.usual),
    factor: unless(state.factor, FACTOR.usual),
    method: unless(state.method, "additive"),
    unit: unless(state.unit, "raw"),
    part: state.part,
  };
}

/** A whole number out of the address, or null. */
function whole(text) {
  return /^\d{1,9}$/.test(text ?? "") ? Number(text) : null;
}

function within(text, { least, most, usual }) {
  const value = Number.parseFloat(text ?? "");
  return Number.isFinite(value) ? Math.min(Math.max(value, least), most) : usual;
}
