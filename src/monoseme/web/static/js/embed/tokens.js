// A text shaded token by token, by itself.

import { h } from "../dom.js";
import { activation } from "../format.js";
import { token } from "../tokens.js";
import { embed } from "./page.js";

embed(({ title, tokens, values, top }) =>
  h(
    "figure",
    {},
    h("figcaption", { class: "head small" }, h("b", {}, title), h("span", { class: "legend" }, "0", h("span", { class: "legend__ramp", "aria-hidden": "true" }), activation(top))),
    h("div", { class: "strip" }, tokens.map((text, i) => token(text, values[i], { top, breaks: true }))),
  ),
);
