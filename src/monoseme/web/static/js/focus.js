// Keeps the keyboard where it was: what a redraw replaces loses the focus, and its successor gets it.

const FIELDS = "button, input, select, textarea, a[href]";

/** Runs `draw`, which may replace anything inside `root`; the successor is the element of the same name. */
export function keepingFocus(root, draw) {
  const had = document.activeElement;
  const name = root.contains(had) ? nameOf(had) : null;
  draw();
  if (name === null || had.isConnected) return;
  const heir = [...root.querySelectorAll(had.tagName)].find((element) => nameOf(element) === name);
  heir?.focus({ preventScroll: true });
}

/** The same where fields change their names: the successor is the field at the same place, or the last one. */
export function keepingPlace(root, draw) {
  const at = fieldsOf(root).indexOf(document.activeElement);
  draw();
  if (at < 0 || root.contains(document.activeElement)) return;
  const fields = fieldsOf(root);
  fields[Math.min(at, fields.length - 1)]?.focus({ preventScroll: true });
}

function fieldsOf(root) {
  return [...root.querySelectorAll(FIELDS)];
}

/** What tells an element from others: the name it was given as `data-focus`; else its section, its own name, and what it stands for. */
function nameOf(element) {
  const { focus, layer, latent, at } = element.dataset;
  if (focus) return focus;
  const section = element.closest("section")?.getAttribute("aria-label");
  const label = element.getAttribute("aria-label") ?? element.labels?.[0]?.firstChild?.textContent ?? element.textContent;
  return JSON.stringify([section, element.type, layer, latent, at, latent === undefined ? label : null]);
}
