// The ledger strip: the last cycle, its state, what it conserves of each asset, and its seal.

import { byId, el, mark, say } from "../dom.js";
import { grouped } from "../decimals.js";
import { heading } from "../sources.js";
import { clock } from "./tape.js";

export function ledger({ cycles }) {
  const strip = byId("ledger");
  const head = heading("Ledger", "GET /api/v1/settlements, GET /api/v1/settlements/{cycle}");
  const facts = Object.fromEntries(
    ["Cycle", "State", "Closed", "Seal"].map((label) => [label, el("dd", { class: "num" }, "–")]),
  );
  const list = el("dl", { class: "facts" });
  for (const [label, value] of Object.entries(facts)) list.append(el("div", {}, el("dt", {}, label), value));
  const assets = el("div", { class: "assets", "aria-label": "Conservation by asset" });
  strip.append(head.element, list, assets);

  function show(cycle) {
    if (!cycle) {
      say(facts.Cycle, "none");
      return;
    }
    say(facts.Cycle, `#${cycle.cycle}`);
    say(facts.State, cycle.state);
    mark(facts.State, "class", `num ${cycle.state === "settled" ? "up" : cycle.state === "open" ? "warn" : ""}`);
    say(facts.Closed, cycle.closed_at ? clock(cycle.closed_at) : "–");
    mark(facts.Closed, "title", cycle.closed_at);
    say(facts.Seal, cycle.seal ? `${cycle.seal.slice(0, 8)}…` : "–");
    mark(facts.Seal, "title", cycle.seal);
    const broken = cycle.conservation.filter((flow) => flow.sum !== "0");
    const verdict = broken.length ? `${broken.length} assets do not add up to 0 ✗` : `all ${cycle.conservation.length} assets add up to 0 ✓`;
    const shown = [...broken, ...cycle.conservation.filter((flow) => flow.sum === "0")].map((flow) => {
      const title = `${flow.asset}: in ${grouped(flow.gross_in)}, out ${grouped(flow.gross_out)}, fees ${grouped(flow.fees)}; all accounts add up to ${flow.sum}`;
      return el("span", { class: `asset num ${flow.sum === "0" ? "" : "down"}`, title }, `${flow.asset} Σ ${flow.sum}`);
    });
    if (cycle.conservation.length) shown.unshift(el("strong", { class: broken.length ? "down" : "up" }, verdict));
    assets.replaceChildren(...shown);
  }

  cycles.newest.on(show);
  cycles.problem.on((problem) => mark(strip, "title", problem));
  cycles.problem.on((problem) => mark(strip, "data-old", problem ? "true" : null));
}
