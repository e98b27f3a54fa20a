// Asks the API for what no channel carries: now and again, and soon after something has changed; never while hidden.

const SOON_MS = 400;

/** Calls `ask` every `everyMs`; `.soon()` asks earlier. One call at a time. */
export function polling(ask, everyMs) {
  let timer = null;
  let isAsking = false;

  async function run() {
    clearTimeout(timer);
    timer = setTimeout(run, everyMs);
    if (isAsking || document.hidden) return;
    isAsking = true;
    try {
      await ask();
    } finally {
      isAsking = false;
    }
  }

  document.addEventListener("visibilitychange", () => !document.hidden && run());
  return {
    begin: run,
    soon() {
      clearTimeout(timer);
      timer = setTimeout(run, SOON_MS);
    },
  };
}
