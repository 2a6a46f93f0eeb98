// The frame: the bar on top, one page at a time below it, and what every page shares.

import { address, get } from "./api.js";
import { hideCard, startCards } from "./card.js";
import { fill, h } from "./dom.js";
import { hideTip, startTips } from "./float.js";
import { Keyboard } from "./keyboard.js";
import { Router } from "./router.js";
import { startTheme, toggleTheme } from "./theme.js";
import { latentPage } from "./pages/latent.js";
import { latentsPage } from "./pages/latents.js";
import { overviewPage } from "./pages/overview.js";
import { promptPage } from "./pages/prompt.js";
import { runsPage } from "./pages/runs.js";
import { steerPage } from "./pages/steer.js";

const main = document.getElementById("main");
const bar = document.getElementById("bar");
const announce = document.getElementById("announce");
const busyLine = h("div", { class: "busy" });

let runs = null;
let firstView = true;

const withRuns = (page) => async (context) => {
  runs ??= await get("/runs", { signal: context.signal });
  return page({ ...context, runs, router });
};

const routes = [
  ["/", runsPage],
  ["/runs/:run", overviewPage],
  ["/runs/:run/saes/:sae/latents", latentsPage],
  ["/runs/:run/saes/:sae/latents/:index", latentPage],
  ["/runs/:run/saes/:sae/prompt", promptPage],
  ["/runs/:run/steer", steerPage],
];
const router = new Router(
  routes.map(([pattern, page]) => [pattern, withRuns(page)]),
  { show, fail, busy },
);
startTheme();
startTips();
startCards();
document.body.append(busyLine);
const keyboard = new Keyboard({ theme: toggleTheme });
router.open();

function busy(on) {
  busyLine.toggleAttribute("data-on", on);
  main.setAttribute("aria-busy", String(on));
}

function show(view, { params }) {
  hideCard();
  hideTip();
  fill(bar, topBar(view.section ?? "", params));
  fill(main, view.node);
  keyboard.use(view.keys);
  document.title = `${view.title} · monoseme`;
  announce.textContent = view.title;
  // After the first page, focus starts at the top of the new one, as it would after a full load.
  if (!firstView && !view.keepFocus) main.focus({ preventScroll: true });
  firstView = false;
  view.shown?.();
}

function fail(error, context) {
  const node = h(
    "div",
    { class: "notice notice--bad", role: "alert" },
    h("h1", {}, error.status === 404 ? "Not here" : "This did not work"),
    h("p", {}, error.message),
    error.hint && h("p", { class: "small" }, error.hint),
    h("button", { class: "button", type: "button", onclick: () => router.open() }, "Try again"),
  );
  show({ title: "Not available", node }, context);
  if (!error.hint && !error.status) throw error;
}

function topBar(section, params) {
  const run = runs?.find((item) => item.id === params.run) ?? (runs?.length === 1 ? runs[0] : null);
  const sae = run && (run.saes.includes(params.sae) ? params.sae : run.saes[0]);
  return h(
    "div",
    { class: "bar__row" },
    h("a", { href: "/", class: "brand", "aria-label": "monoseme, start" }, h("img", { src: "/assets/icon.svg", alt: "" }), h("span", {}, "monoseme")),
    run && picks(run, sae, section),
    run && sae && tabs(run.id, sae, section),
    h(
      "div",
      { class: "bar__end" },
      run && sae && quickSearch(run.id, sae),
      h("button", { class: "button button--plain", type: "button", onclick: () => keyboard.help(), "aria-label": "Keys" }, h("kbd", {}, "?")),
      h("button", { class: "button button--plain", type: "button", onclick: toggleTheme, "aria-label": "Light or dark" }, "◐"),
    ),
  );
}

function picks(run, sae, section) {
  const choose = (label, values, chosen, pick) =>
    h(
      "select",
      { class: "field", "aria-label": label, onchange: (event) => router.go(pick(event.target.value)) },
      values.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
    );
  const there = { latents: address.latents, prompt: (id, name) => address.prompt(id, name, promptText()) }[section] ?? address.latents;
  return h(
    "div",
    { class: "bar__pick" },
    runs.length > 1 && choose("Run", runs.map((item) => [item.id, item.name]), run.id, address.run),
    run.saes.length > 1 && !["overview", "steer"].includes(section) && choose("SAE", run.saes.map((name) => [name, name]), sae, (name) => there(run.id, name)),
  );
}

function promptText() {
  return { text: new URLSearchParams(location.search).get("text") };
}

function tabs(run, sae, section) {
  const tab = (name, title, href) => h("a", { href, "aria-current": section === name ? "page" : null }, title);
  return h(
    "nav",
    { class: "tabs", "aria-label": "Pages" },
    tab("overview", "Overview", address.run(run)),
    tab("latents", "Latents", address.latents(run, sae)),
    tab("prompt", "Prompt", address.prompt(run, sae)),
    tab("steer", "Steer", address.steer(run)),
  );
}

function quickSearch(run, sae) {
  const submit = (event) => {
    event.preventDefault();
    const text = new FormData(event.target).get("q").trim();
    router.go(/^#?\d+$/.test(text) ? address.latent(run, sae, Number(text.replace("#", ""))) : address.latents(run, sae, { q: text }));
  };
  return h(
    "form",
    { class: "bar__search", role: "search", onsubmit: submit },
    h("input", { class: "field", name: "q", type: "search", placeholder: "Latent number or words", "aria-label": "Go to a latent, or search explanations", data: { search: "" }, autocomplete: "off" }),
  );
}
