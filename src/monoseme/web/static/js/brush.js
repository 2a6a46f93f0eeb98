// Drags a range or a rectangle over a plot. The keyboard has number fields for the same.

const LEAST = 4;

/**
 * `area` is what is dragged over, `both` whether a rectangle is drawn. `moved(shares)` follows the drag, `done(shares)` ends it, with
 * null for a press that dragged nothing (then `pressed(point)`). Shares are of the area: { x: [from, to], y: [from, to] }, y from below.
 */
export function brush(area, { both, moved, done, pressed, signal }) {
  let start = null;
  const point = (event) => {
    const box = area.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top, width: box.width, height: box.height };
  };
  const shares = (from, to) => {
    const x = [from.x / to.width, to.x / to.width].sort(ascending).map(inside);
    const y = [1 - from.y / to.height, 1 - to.y / to.height].sort(ascending).map(inside);
    return both ? { x, y } : { x };
  };
  const isDrag = (to) => Math.abs(to.x - start.x) > LEAST || (both && Math.abs(to.y - start.y) > LEAST);
  const end = (event, kept) => {
    if (!start) return;
    const to = point(event);
    const dragged = kept && isDrag(to);
    const range = dragged ? shares(start, to) : null;
    start = null;
    if (dragged) done(range);
    else if (kept && pressed) pressed(to);
    else moved(null);
  };
  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = point(event);
    area.setPointerCapture(event.pointerId);
  });
  area.addEventListener("pointermove", (event) => {
    if (!start) return;
    const to = point(event);
    if (isDrag(to)) moved(shares(start, to));
  });
  area.addEventListener("pointerup", (event) => end(event, true));
  area.addEventListener("pointercancel", (event) => end(event, false));
  addEventListener("keydown", (event) => event.key === "Escape" && start && ((start = null), moved(null)), { signal });
}

function ascending(a, b) {
  return a - b;
}

function inside(share) {
  return Math.min(Math.max(share, 0), 1);
}
