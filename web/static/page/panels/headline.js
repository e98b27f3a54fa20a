// The chosen instrument in the bar: last price, 24 hours, status.

import { byId, el, mark, say } from "../dom.js";
import { grouped, plain, units } from "../decimals.js";
import { paintSoon } from "../frames.js";

/** The change of 24 hours as text and direction; null if the venue does not tell it. */
export function changeOf(price) {
  if (!price?.open || !price.last) return null;
  const [open, last] = [units(price.open), units(price.last)];
  if (open === 0n) return null;
  const percent = plain(((last - open) * 10_000_000_000n) / open, 2);
  const direction = last > open ? "up" : last < open ? "down" : "muted";
  return { text: `${last > open ? "+" : ""}${percent}%`, direction };
}

export function headline({ markets, prices }) {
  const box = byId("headline");
  const name = el("strong", { class: "instrument" });
  const last = el("span", { class: "last num live" });
  const status = el("span", { class: "status" });
  const facts = ["24h change", "24h high", "24h low", "24h volume", "24h trades"].map((label) => {
    const value = el("dd", { class: "num" }, "–");
    return { label, value, element: el("div", {}, el("dt", {}, label), value) };
  });
  box.append(name, status, last, el("dl", { class: "facts live" }, ...facts.map((fact) => fact.element)));

  function paint() {
    const rules = markets.current;
    if (!rules) return;
    const price = prices.of.get(rules.name) ?? {};
    const change = changeOf(price);
    const show = (text) => (text === undefined || text === null ? "–" : grouped(text));
    say(name, rules.name);
    say(last, show(price.last));
    say(status, rules.market_status === "open" ? "open" : rules.market_status.replace("_", " "));
    mark(status, "class", `status live ${rules.market_status === "open" ? "open" : "halted"}`);
    const values = [change?.text ?? "–", show(price.high), show(price.low), show(price.volume), show(price.trades)];
    facts.forEach((fact, at) => say(fact.value, values[at]));
    mark(facts[0].value, "class", `num ${change?.direction ?? ""}`);
    document.title = price.last ? `${grouped(price.last)} ${rules.name} · Matchstream` : `${rules.name} · Matchstream`;
  }

  for (const signal of [markets.all, markets.chosen, prices.changed]) signal.on(() => paintSoon(paint));
}
