// Our latest fills of the chosen instrument, each with its fee; the fill of a busted trade stays, struck through.

import { el } from "../dom.js";
import { grouped, plain, times, units } from "../decimals.js";
import { paintSoon } from "../frames.js";
import { heading } from "../sources.js";
import { table } from "../table.js";
import { clock } from "./tape.js";

export function fills({ markets, orders }) {
  const head = heading("Fills", "channel orders: fills");
  const value = (fill) => {
    const decimals = Math.max(markets.chosen.value?.priceDecimals ?? 2, 2);
    return grouped(plain(times(units(fill.price), units(fill.quantity)), decimals));
  };
  const rows = table(
    "Fills",
    [
      { label: "Time", text: (fill) => clock(fill.executed_at) },
      { label: "Trade", text: (fill) => fill.trade_id },
      { label: "Side", text: (fill) => fill.side, class: (fill) => (fill.side === "buy" ? "up" : "down") },
      { label: "Price", number: true, text: (fill) => grouped(fill.price) },
      { label: "Quantity", number: true, text: (fill) => fill.quantity },
      { label: "Value", number: true, text: value },
      { label: "Fee", number: true, text: (fill) => fill.fee ?? "–" },
      { label: "As", text: (fill) => fill.liquidity },
      { label: "", text: (fill) => (fill.busted_at ? "busted" : "") },
    ],
    "No fills yet.",
  );

  function paint() {
    rows.show(orders.fills.map((fill) => [`${fill.trade_id} ${fill.side}`, fill]));
    head.at(orders.seq);
  }

  orders.changed.on(() => paintSoon(paint));
  return { name: "Fills", head, element: rows.element, count: () => orders.fills.length };
}
