// Keeps the keyboard where it was: what a redraw replaces loses the focus, and its successor of the same name gets it.

/** Runs `draw`, which may replace anything inside `root`. */
export function keepingFocus(root, draw) {
  const had = document.activeElement;
  const name = root.contains(had) ? nameOf(had) : null;
  draw();
  if (name === null || had.isConnected) return;
  const heir = [...root.querySelectorAll(had.tagName)].find((element) => nameOf(element) === name);
  heir?.focus({ preventScroll: true });
}

/** What tells an element from others: its section, its own name, and what it stands for. */
function nameOf(element) {
  const { layer, latent, at } = element.dataset;
  const section = element.closest("section")?.getAttribute("aria-label");
  const label = element.getAttribute("aria-label") ?? element.labels?.[0]?.firstChild?.textContent ?? element.textContent;
  return JSON.stringify([section, element.type, layer, latent, at, latent === undefined ? label : null]);
}
