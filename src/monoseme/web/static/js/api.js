// Reads the API. Every failure becomes an ApiError with one line to show and one of advice.

export class ApiError extends Error {
  constructor(message, { hint = "", status = 0 } = {}) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

/** This tab's own name: every tab gets the same share of the server's model. */
const tab = [...crypto.getRandomValues(new Uint32Array(2))].map((part) => part.toString(36)).join("");

/** The answer of `path` under /api, once it is a success. */
export async function answer(path, init = {}) {
  let response;
  try {
    response = await fetch(`/api${path}`, { ...init, headers: { ...init.headers, "x-monoseme-tab": tab } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer.", { hint: "Is monoseme serve still running? Start it again, then reload." });
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new ApiError(body.error ?? `The server answered ${response.status}.`, { hint: body.hint, status: response.status });
}

/** The JSON at `path` under /api; `query` leaves out what is null or empty. */
export async function get(path, { query = {}, signal } = {}) {
  const response = await answer(`${path}${search(query)}`, { signal, headers: { accept: "application/json" } });
  return response.json();
}

/** A query string, with its question mark, or an empty text. */
export function search(query) {
  const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

const cards = new Map();

/** The card of a latent, asked for once. */
export function card(path, signal) {
  if (!cards.has(path)) {
    const answer = get(`${path}/card`, { signal });
    cards.set(path, answer);
    answer.catch(() => cards.delete(path));
  }
  return cards.get(path);
}

/** Addresses of pages; the API has the same ones under /api. */
export const address = {
  run: (run) => `/runs/${encodeURIComponent(run)}`,
  sae: (run, sae) => `/runs/${encodeURIComponent(run)}/saes/${encodeURIComponent(sae)}`,
  latents: (run, sae, query = {}) => `${address.sae(run, sae)}/latents${search(query)}`,
  latent: (run, sae, index) => `${address.sae(run, sae)}/latents/${index}`,
  steer: (run, query = "") => `/runs/${encodeURIComponent(run)}/steer${query && `?${query}`}`,
  /** The steer page with one latent at its maximum; `sae` may name a site too. */
  steerWith: (run, sae, index) => address.steer(run, search({ l: `${sae}:${index}:1max` }).slice(1)),
  /** Studies are served beside runs, or without any. */
  studies: (run) => (run ? `/runs/${encodeURIComponent(run)}/studies` : "/studies"),
  study: (run, study) => `${address.studies(run)}/${encodeURIComponent(study)}`,
  prompt: (run, sae, query = {}) => `${address.sae(run, sae)}/prompt${search(query)}`,
};
