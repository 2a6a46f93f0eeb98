// What the steer page is set to, as its address says it: every choice has a word in the query, and what is usual has none.

export const UNITS = ["max", "norm", "raw"];
const USUAL = { method: "additive", only: "all", n: 60, t: 0.8, topP: 1 };
const LONGEST = 12000;

/** The state in the query of an address. What cannot be read is left out. */
export function readState(search) {
  const query = new URLSearchParams(search);
  const one = (name, otherwise) => query.get(name) ?? otherwise;
  const prompts = query.getAll("p");
  return {
    latents: query.getAll("l").map(readSteered).filter(Boolean),
    watched: query.getAll("w").map(readLatent).filter(Boolean),
    method: one("m", USUAL.method),
    options: Object.fromEntries(query.getAll("o").map(readOption).filter(Boolean)),
    only: one("only", USUAL.only),
    from: whole(query.get("from")),
    whileFires: readLatent(one("while", "")),
    n: whole(query.get("n")) ?? USUAL.n,
    t: amount(query.get("t")) ?? USUAL.t,
    topP: amount(query.get("top_p")) ?? USUAL.topP,
    seed: whole(query.get("seed")),
    drawn: whole(query.get("drawn")),
    chat: query.has("chat"),
    alone: query.has("alone"),
    prompts: prompts.length ? prompts : query.has("chat") ? [] : ["Once upon a time"],
    system: one("system", ""),
    says: query.getAll("say"),
    colour: one("c", null),
    go: query.has("go"),
  };
}

/** The query of a state; without its texts where they would make the address too long for browsers and servers. */
export function writeState(state) {
  const pairs = settings(state);
  const texts = state.chat ? [["system", state.system], ...state.says.map((text) => ["say", text])] : state.prompts.map((text) => ["p", text]);
  const all = new URLSearchParams([...pairs, ...texts.filter(([, text]) => text !== "")]);
  if (state.go) all.append("go", "1");
  const whole = String(all);
  return whole.length <= LONGEST ? { query: whole, isWhole: true } : { query: String(new URLSearchParams(pairs)), isWhole: false };
}

function settings(state) {
  const said = (name, value, usual = null) => (value === usual || value === null ? [] : [[name, String(value)]]);
  return [
    ...(state.chat ? [["chat", "1"]] : []),
    ...state.latents.map((item) => ["l", `${nameOf(item)}:${item.strength}${item.unit}`]),
    ...state.watched.map((item) => ["w", nameOf(item)]),
    ...said("m", state.method, USUAL.method),
    ...Object.entries(state.options).map(([name, value]) => ["o", `${name}:${value}`]),
    ...said("only", state.only, USUAL.only),
    ...said("from", state.from),
    ...said("while", state.whileFires && nameOf(state.whileFires)),
    ...said("n", state.n, USUAL.n),
    ...said("t", state.t, USUAL.t),
    ...said("top_p", state.topP, USUAL.topP),
    ...said("seed", state.seed),
    ...(state.seed === null ? said("drawn", state.drawn) : []),
    ...(state.alone ? [["alone", "1"]] : []),
    ...said("c", state.colour),
  ];
}

/** What is asked of the server; `words` are its prompts or its chat. */
export function request(state, { words, seed, arms }) {
  const steered = arms.includes("steered");
  return {
    ...words,
    latents: steered ? state.latents : [],
    method: state.method,
    options: state.options,
    conditions: { only: state.only, from_position: state.from, while_fires: state.whileFires },
    sampling: { max_new_tokens: state.n, temperature: state.t, top_p: state.topP, seed },
    arms,
    watch: watchedBy(state),
  };
}

/** Every latent whose values are to be seen: those steered with, then those only watched. */
export function watchedBy({ latents, watched }) {
  const seen = new Map([...latents, ...watched].map(({ sae, latent }) => [nameOf({ sae, latent }), { sae, latent }]));
  return [...seen.values()];
}

/** `topk:17`: how the server and the address name a latent. */
export function nameOf({ sae, latent }) {
  return `${sae}:${latent}`;
}

/** `topk:17`, with the SAE `usual` for a bare number; null for anything else. */
export function readLatent(text, usual = null) {
  const [, sae, number] = /^(?:(.+):)?#?(\d{1,9})$/s.exec(text.trim()) ?? [];
  return number === undefined || !(sae ?? usual) ? null : { sae: sae ?? usual, latent: Number(number) };
}

function readSteered(text) {
  const [, latent, strength, unit] = /^(.+):([+-]?[\d.]+(?:e[+-]?\d+)?)(max|norm|raw)?$/s.exec(text) ?? [];
  const found = latent === undefined ? null : readLatent(latent);
  return found && Number.isFinite(Number(strength)) ? { ...found, strength: Number(strength), unit: unit ?? UNITS[0] } : null;
}

function readOption(text) {
  const [, name, value] = /^([^:]+):(.*)$/s.exec(text) ?? [];
  if (name === undefined) return null;
  return [name, value === "true" ? true : value === "false" ? false : value !== "" && Number.isFinite(Number(value)) ? Number(value) : value];
}

function whole(text) {
  return /^\d{1,15}$/.test(text ?? "") ? Number(text) : null;
}

function amount(text) {
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(value) && value >= 0 ? value : null;
}
