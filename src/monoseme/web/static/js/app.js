// The frame: the bar on top, one page at a time below it, and what every page shares.

import { get } from "./api.js";
import { places, topBar } from "./bar.js";
import { hideCard, startCards } from "./card.js";
import { fill, h } from "./dom.js";
import { hideTip, startTips } from "./float.js";
import { Keyboard } from "./keyboard.js";
import { failure } from "./notice.js";
import { Router } from "./router.js";
import { startTheme, toggleTheme } from "./theme.js";

const main = document.getElementById("main");
const bar = document.getElementById("bar");
const announce = document.getElementById("announce");
const busyLine = h("div", { class: "busy" });

let runs = null;
let firstView = true;

// A page's code is fetched when it is first opened, so that the first one stands at once.
const routes = [
  ["/", async () => (await import("./pages/runs.js")).runsPage],
  ["/runs/:run", async () => (await import("./pages/overview.js")).overviewPage],
  ["/runs/:run/saes/:sae/latents", async () => (await import("./pages/latents.js")).latentsPage],
  ["/runs/:run/saes/:sae/latents/:index", async () => (await import("./pages/latent.js")).latentPage],
  ["/runs/:run/saes/:sae/prompt", async () => (await import("./pages/prompt.js")).promptPage],
  ["/runs/:run/steer", async () => (await import("./pages/steer.js")).steerPage],
  ["/studies", async () => (await import("./pages/studies.js")).studiesPage],
  ["/studies/:study", async () => (await import("./pages/studies.js")).studyPage],
  ["/runs/:run/studies", async () => (await import("./pages/studies.js")).studiesPage],
  ["/runs/:run/studies/:study", async () => (await import("./pages/studies.js")).studyPage],
];

const opened = (load) => async (context) => {
  const [page] = await Promise.all([load(), knowRuns(context.signal)]);
  return page({ ...context, runs, router });
};

async function knowRuns(signal) {
  runs ??= await get("/runs", { signal });
}

const router = new Router(
  routes.map(([pattern, load]) => [pattern, opened(load)]),
  { show, fail, busy },
);
startTheme();
startTips();
startCards();
document.body.append(busyLine);
const keyboard = new Keyboard({ theme: toggleTheme, search: () => bar.querySelector("[data-menu]")?.click() });
router.open();

function busy(on) {
  busyLine.toggleAttribute("data-on", on);
  main.setAttribute("aria-busy", String(on));
}

function show(view, { params }) {
  hideCard();
  hideTip();
  const place = { runs: runs ?? [], params, section: view.section ?? "" };
  fill(bar, topBar(place, { go: (url) => router.go(url), help: () => keyboard.help(), theme: toggleTheme }));
  fill(main, view.node);
  keyboard.use(view.keys, journeys(place));
  document.title = `${view.title} · monoseme`;
  announce.textContent = view.title;
  // After the first page, focus starts at the top of the new one, as it would after a full load.
  if (!firstView && !view.keepFocus) main.focus({ preventScroll: true });
  firstView = false;
  view.shown?.();
}

/** "g" and a letter for each page that the bar leads to. */
function journeys(place) {
  return Object.fromEntries(places(place).map(({ key, title, href }) => [`g ${key}`, { run: () => router.go(href), says: `go to ${title}` }]));
}

function fail(error, context) {
  const ways = h("div", { class: "notice__ways" }, h("button", { class: "button", type: "button", onclick: () => router.open() }, "Try again"), h("a", { class: "button", href: "/" }, "Start page"));
  const node = failure(error, { title: h("h1", {}, error.status === 404 ? "Not here" : "This did not work"), more: ways });
  show({ title: "Not available", node }, context);
  if (!error.hint && !error.status) throw error;
}
