// A notice in the place of what did not come: what was wrong, and what to do about it.

import { h } from "./dom.js";

/** `title` is an element or null; `more` stands below, such as ways on. */
export function failure({ message, hint }, { title = null, alert = true, more = null } = {}) {
  return h("div", { class: "notice notice--bad", role: alert ? "alert" : null }, title, h("p", {}, message), hint && h("p", { class: "small" }, hint), more);
}
