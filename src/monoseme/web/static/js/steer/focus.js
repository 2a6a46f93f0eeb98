// Keeps the focus where it was in a part of the page that is drawn anew.

/** Which of the fields inside `node` has the focus, by its place among them; -1 for none. */
export function focusOf(node) {
  return fieldsOf(node).indexOf(document.activeElement);
}

/** Gives the focus back to the field at this place, or to the last one, unless some field has kept it. */
export function refocus(node, at) {
  if (at < 0 || node.contains(document.activeElement)) return;
  const fields = fieldsOf(node);
  fields[Math.min(at, fields.length - 1)]?.focus({ preventScroll: true });
}

function fieldsOf(node) {
  return [...node.querySelectorAll("button, input, select, textarea, a[href]")];
}
