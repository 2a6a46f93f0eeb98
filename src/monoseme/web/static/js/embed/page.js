// What every component shares that stands in a page of its own, with its data beside it and no server behind it.

import { fill, h } from "../dom.js";
import { startTips } from "../float.js";

/** Draws `draw(data)` into the page. */
export function embed(draw) {
  const main = document.getElementById("main");
  fill(main, draw(JSON.parse(document.getElementById("data").textContent)));
  unlink(main);
  startTips();
}

/** Addresses of the app lead nowhere from here. */
function unlink(main) {
  for (const link of main.querySelectorAll("a[href^='/']")) link.replaceWith(h("span", {}, ...link.childNodes));
}
