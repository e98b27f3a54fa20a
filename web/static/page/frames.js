// Paints at most once a frame: messages change state as they come, painters run before the browser draws.

const due = new Set();
let isAsked = false;

function paintAll() {
  isAsked = false;
  const painters = [...due];
  due.clear();
  for (const paint of painters) paint();
}

/** Run this painter in the next frame; asked twice, it runs once. A hidden page paints when it is shown again. */
export function paintSoon(paint) {
  due.add(paint);
  if (!isAsked) {
    isAsked = true;
    requestAnimationFrame(paintAll);
  }
}
