// Light or dark: the system's choice until the reader makes one, which is kept in this browser.

const KEY = "monoseme.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
}

export function startTheme() {
  const chosen = read();
  if (chosen) document.documentElement.dataset.theme = chosen;
  system.addEventListener("change", tell);
}

export function toggleTheme() {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // A browser that keeps nothing still changes the page at hand.
  }
  tell();
}

/** Calls `listener` at each change until `signal` aborts. */
export function onTheme(listener, signal) {
  listeners.add(listener);
  signal?.addEventListener("abort", () => listeners.delete(listener));
}

/** A colour, as a custom property holds it, as [red, green, blue]. */
export function rgb(value) {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  context.fillStyle = value.trim();
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}

function tell() {
  for (const listener of listeners) listener();
}

function read() {
  try {
    const chosen = localStorage.getItem(KEY);
    return chosen === "light" || chosen === "dark" ? chosen : null;
  } catch {
    return null;
  }
}
