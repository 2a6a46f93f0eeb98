// A figure of a study: its specification drawn when it comes into sight, or its picture where there is too much data for that.

import { chart } from "../chart.js";
import { h } from "../dom.js";
import { line } from "../prose.js";
import { isDark, onTheme } from "../theme.js";
import { fileAddress, forms } from "./files.js";

export function figure(study, about, signal) {
  return h(
    "section",
    { class: "panel study__figure", "aria-label": about.title },
    h("div", { class: "head" }, h("h2", { class: "study__title" }, about.title)),
    about.why_missing ? h("p", { class: "muted" }, `Not drawn: ${about.why_missing}`) : drawn(study, about, signal),
    about.caption && h("p", { class: "small study__caption" }, line(about.caption)),
    forms(study, about.files),
  );
}

function drawn(study, about, signal) {
  if (about.picture) return picture(study, about, signal);
  const path = `/studies/${encodeURIComponent(study.id)}/figures/${encodeURIComponent(about.name)}`;
  // Charts side by side are wider than a phone: they are moved under the finger, or with the arrows.
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": about.title }, chart(path, { label: about.title, height: 300, signal }));
}

function picture(study, { title, picture: { light, dark } }, signal) {
  const image = h("img", { class: "study__picture", alt: title, loading: "lazy" });
  const show = () => (image.src = fileAddress(study, isDark() ? dark : light));
  show();
  onTheme(show, signal);
  return image;
}
