// The trades, latest first; a busted one stays, struck through.

import { byId, el, mark, say } from "../dom.js";
import { grouped } from "../decimals.js";
import { paintSoon } from "../frames.js";
import { heading } from "../sources.js";

const ROW_PX = 18;
const FEWEST_ROWS = 8;
const MOST_ROWS = 120;

/** A time of the venue as the clock of whoever looks: 14:03:59. */
export const clock = (time) => new Date(time).toLocaleTimeString("en-GB");

export function tape({ market, markets }) {
  const panel = byId("tape");
  const head = heading("Trades", "GET /api/v1/trades, channel trades");
  const columns = el("div", { class: "columns", "aria-hidden": "true" });
  const priceColumn = el("span");
  const sizeColumn = el("span");
  columns.append(priceColumn, sizeColumn, el("span", {}, "Time"));
  const list = el("ol", { class: "trades", "aria-label": "Trades, the latest first" });
  const empty = el("p", { class: "empty", hidden: true }, "No trades yet.");
  panel.append(head.element, columns, list, empty);
  const rows = [];

  function makeRow() {
    const parts = [el("span", { class: "num price" }), el("span", { class: "num" }), el("span", { class: "num muted" })];
    return { parts, element: el("li", {}, ...parts) };
  }

  function resize() {
    const count = Math.max(FEWEST_ROWS, Math.min(MOST_ROWS, Math.floor(list.clientHeight / ROW_PX)));
    if (count === rows.length) return;
    while (rows.length < count) rows.push(makeRow());
    rows.length = count;
    list.replaceChildren(...rows.map((row) => row.element));
    paint();
  }

  function paint() {
    rows.forEach((row, at) => {
      const trade = market.trades[at];
      const [price, size, time] = row.parts;
      say(price, trade ? grouped(trade.price) : "");
      say(size, trade ? trade.quantity : "");
      say(time, trade ? clock(trade.executed_at) : "");
      mark(row.element, "class", trade ? (trade.aggressor_side === "buy" ? "up" : "down") : "none");
      mark(row.element, "data-busted", trade?.busted_at ? "true" : null);
      mark(row.element, "data-trade", trade?.trade_id);
      mark(row.element, "title", trade?.busted_at ? `busted: ${trade.trade_id}` : null);
    });
    empty.hidden = !market.isKnown || market.trades.length > 0;
    head.at(market.tradesSeq);
  }

  markets.chosen.on((rules) => {
    say(priceColumn, `Price ${rules.quote_asset}`);
    say(sizeColumn, `Size ${rules.base_asset}`);
  });
  new ResizeObserver(resize).observe(list);
  market.changed.on(() => paintSoon(paint));
}
