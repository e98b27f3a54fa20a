// The connection: live, stale or lost, how often it was resumed, and the gaps, which are 0.

import { byId, el, mark, say } from "../dom.js";

const WORDS = { live: "live", stale: "stale", lost: "reconnecting", connecting: "connecting", locked: "needs a key" };

export function connection({ stream, market, markets }) {
  const box = byId("connection");
  const banner = byId("banner");
  const dot = el("span", { class: "dot", "aria-hidden": "true" });
  const state = el("span", { role: "status" });
  const counts = el("span", { class: "num muted counts" });
  box.append(dot, state, counts);

  function paint() {
    const now = stream.state.value;
    mark(document.body, "data-link", now);
    say(state, WORDS[now]);
    say(counts, `gaps ${stream.gaps} · resumed ${stream.resumed}`);
    mark(counts, "title", `messages that were missing: ${stream.gaps}; subscriptions resumed without a gap: ${stream.resumed}; checksums that differed: ${market.mismatches}`);
    const isOld = now === "lost" || now === "stale";
    banner.hidden = !isOld;
    if (!isOld) return;
    const seconds = Math.max(0, Math.round((Date.now() - (stream.lostAt ?? Date.now())) / 1_000));
    const name = markets.chosen.value?.name;
    const at = name && market.book.seq ? ` ${name} will resume after seq ${market.book.seq.toLocaleString("en")}.` : "";
    say(banner, `No connection to the gateway for ${seconds} s. The grey numbers are old.${at}`);
  }

  stream.state.on(paint);
  setInterval(paint, 1_000);
  paint();
}
