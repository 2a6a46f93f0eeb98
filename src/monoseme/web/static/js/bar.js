// The bar on top: which run and SAE, the pages of both, and a box that finds a latent.

import { address } from "./api.js";
import { h, svg } from "./dom.js";

const ICON = new URL("../icon.svg", import.meta.url).href;

/** The run and the SAE that the bar is about; with one run, that one. */
function chosen({ runs, params }) {
  const run = runs.find((item) => item.id === params.run) ?? (runs.length === 1 ? runs[0] : null);
  const sae = run && (run.saes.includes(params.sae) ? params.sae : run.saes[0]);
  return { run, sae: sae ?? null };
}

/** The pages one can go to from here, each with its key after "g". */
export function places(place) {
  const { runs } = place;
  const { run, sae } = chosen(place);
  if (!run) return runs.length ? beside() : [];
  return [
    { key: "o", section: "overview", title: "Overview", href: address.run(run.id) },
    sae && { key: "l", section: "latents", title: "Latents", href: address.latents(run.id, sae) },
    sae && { key: "p", section: "prompt", title: "Prompt", href: address.prompt(run.id, sae) },
    sae && { key: "s", section: "steer", title: "Steer", href: address.steer(run.id) },
    { key: "t", section: "studies", title: "Studies", href: address.studies(run.id) },
  ].filter(Boolean);
}

/** Where no run is chosen: all of them, and the studies. */
function beside() {
  return [
    { key: "o", section: "runs", title: "Runs", href: "/" },
    { key: "t", section: "studies", title: "Studies", href: address.studies() },
  ];
}

/** The bar's row; `go(url)`, `help()` and `theme()` are what its controls do. */
export function topBar(place, { go, help, theme }) {
  const { run, sae } = chosen(place);
  const search = run && sae && quickSearch(run.id, sae, go);
  return h(
    "div",
    { class: "bar__row" },
    h("a", { href: "/", class: "brand", "aria-label": "monoseme, start" }, h("img", { src: ICON, alt: "" }), h("span", {}, "monoseme")),
    run && picks(place, run, sae, go),
    place.runs.length > 0 && tabs(place),
    search,
    h(
      "div",
      { class: "bar__end" },
      search && menuButton(search),
      h("button", { class: "button button--plain bar__keys", type: "button", onclick: help, "aria-label": "Keys" }, h("kbd", {}, "?")),
      h("button", { class: "button button--plain", type: "button", onclick: theme, "aria-label": "Light or dark" }, "◐"),
    ),
  );
}

/** What SAE the page at hand is about is part of its address; these pages are about a whole run. */
const OF_A_RUN = new Set(["", "overview", "steer", "studies"]);

function picks({ runs, section }, run, sae, go) {
  const choose = (label, values, value, pick) =>
    h(
      "select",
      { class: "field", "aria-label": label, onchange: (event) => go(pick(event.target.value)) },
      values.map(([id, text]) => h("option", { value: id, selected: id === value }, text)),
    );
  const there = { prompt: (id, name) => address.prompt(id, name, promptText()) }[section] ?? address.latents;
  return h(
    "div",
    { class: "bar__pick" },
    runs.length > 1 && choose("Run", runs.map((item) => [item.id, item.name]), run.id, address.run),
    run.saes.length > 1 && !OF_A_RUN.has(section) && choose("SAE", run.saes.map((name) => [name, name]), sae, (name) => there(run.id, name)),
  );
}

function promptText() {
  return { text: new URLSearchParams(location.search).get("text") };
}

function tabs(place) {
  const tab = ({ section, title, href, key }) => h("a", { href, "aria-current": section === place.section ? "page" : null, "aria-keyshortcuts": `g ${key}` }, title);
  return h("nav", { class: "tabs", "aria-label": "Pages" }, places(place).map(tab));
}

function quickSearch(run, sae, go) {
  const submit = (event) => {
    event.preventDefault();
    const text = new FormData(event.target).get("q").trim();
    go(/^#?\d+$/.test(text) ? address.latent(run, sae, Number(text.replace("#", ""))) : address.latents(run, sae, { q: text }));
  };
  return h(
    "form",
    { class: "bar__search", id: "bar-search", role: "search", onsubmit: submit },
    h("input", { class: "field", name: "q", type: "search", placeholder: "Latent number or words", "aria-label": "Go to a latent, or search explanations", data: { search: "" }, autocomplete: "off" }),
  );
}

/** On a phone the search box is folded away behind this button. */
function menuButton(search) {
  const toggle = (event) => {
    const open = search.toggleAttribute("data-open");
    event.currentTarget.setAttribute("aria-expanded", String(open));
    if (open) search.querySelector("input").focus();
  };
  return h("button", { class: "button button--plain bar__menu", type: "button", onclick: toggle, "aria-label": "Search latents", "aria-expanded": "false", "aria-controls": "bar-search", data: { menu: "" } }, lens());
}

function lens() {
  return svg("svg", { viewBox: "0 0 16 16", class: "bar__lens", "aria-hidden": "true" }, svg("circle", { cx: 7, cy: 7, r: 4.5 }), svg("path", { d: "M10.5 10.5 L14 14" }));
}
