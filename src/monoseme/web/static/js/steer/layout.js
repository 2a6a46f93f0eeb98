// Where the parts of the steer page stand: settings beside the texts, and on a phone folded away between them and the latents.

import { h } from "../dom.js";
import { copyButton } from "../copy.js";

const WIDE = matchMedia("(min-width: 981px)");

export function layout({ options, parts, link, signal }) {
  const whyNot = options.why_no_model;
  return h(
    "div",
    { class: "steer stack", vars: { "--gap": "20px" } },
    h("div", {}, h("h1", {}, "Steer"), h("p", { class: "lead" }, "Turn latents up or down, and read what the model then writes beside what it writes without.")),
    whyNot && h("div", { class: "notice" }, h("h2", {}, "The model is not at hand"), h("p", {}, whyNot)),
    h("div", { class: "steer__grid" }, side(options, parts, signal), texts(parts, link)),
  );
}

function side(options, { adder, list, settings, summary }, signal) {
  const lacking = options.saes.filter((sae) => sae.why_not !== null);
  const folded = h(
    "details",
    { class: "steer__folded", open: WIDE.matches },
    h("summary", { class: "small" }, h("b", {}, "Settings"), " ", summary),
    h("div", { class: "stack", vars: { "--gap": "22px" } }, section("Method", settings.method), section("Writing", settings.sampling), section("Where it acts", settings.places)),
  );
  WIDE.addEventListener("change", () => (folded.open = WIDE.matches), { signal });
  return h("aside", { class: "steer__side stack", "aria-label": "Settings", vars: { "--gap": "22px" } }, section("Latents", adder.node, list.node, lacking.map((sae) => h("p", { class: "muted small" }, `${sae.key}: ${sae.why_not}`))), folded);
}

function texts({ words, status, keep, above, below, notice, replay, linkNote }, link) {
  return h("div", { class: "steer__main" }, h("div", { class: "head" }, words.modes, status, keep, h("div", { class: "head__end" }, linkNote, copyButton("Copy link", link))), above, words.node, notice, below, replay);
}

/** The command that writes the same; lines break between its words, never after the dashes of an option. */
export function commandLine(command) {
  const words = command.split(" ").flatMap((word) => [h("span", { class: "steer__word" }, word), " "]);
  return section("The same on the command line", h("div", { class: "steer__command" }, h("code", {}, words.slice(0, -1)), copyButton("Copy", () => command, "Copy the command")));
}

function section(title, ...content) {
  return h("section", { "aria-label": title }, h("h2", { class: "steer__title" }, title), content);
}
