// The order book: price, size, total with bars, the spread between, own orders marked; a click sets the ticket's price.

import { byId, el, mark, say } from "../dom.js";
import { decimalsOf, grouped, plain, share, units } from "../decimals.js";
import { rows } from "../book.js";
import { paintSoon } from "../frames.js";
import { heading } from "../sources.js";

const ROW_PX = 20;
const FEWEST_ROWS = 5;
const MOST_ROWS = 40;
const STEPS = [1, 10, 100, 1_000];

function makeRow(onChoose) {
  const parts = { price: el("span", { class: "num price" }), size: el("span", { class: "num" }) };
  parts.total = el("span", { class: "num total" });
  const own = el("span", { class: "own", "aria-hidden": "true" });
  const bar = el("span", { class: "fill", "aria-hidden": "true" });
  const button = el("button", { type: "button", tabindex: "-1" }, bar, own, ...Object.values(parts));
  const row = { ...parts, own, bar, button, level: null, element: el("li", {}, button) };
  button.addEventListener("click", () => row.level && onChoose(row.level));
  return row;
}

/** The sizes of our open orders by side and price of a row. */
function ownSizes(orders, step) {
  const found = { buy: new Map(), sell: new Map() };
  for (const order of orders) {
    if (!order.price || !found[order.side]) continue;
    const price = units(order.price);
    const floor = price - (price % step);
    const at = order.side === "buy" || floor === price ? floor : floor + step;
    found[order.side].set(at, (found[order.side].get(at) ?? 0n) + units(order.remaining_quantity));
  }
  return found;
}

export function ladder({ market, markets, orders, choosePrice }) {
  const panel = byId("ladder");
  const grouping = el("select", { "aria-label": "Join price levels", onchange: () => paintSoon(paint) });
  const head = heading("Order book", "GET /api/v1/orderbook, channel book", grouping);
  const checked = el("span", { class: "checked", title: "CRC-32 of the ten best levels of each side" });
  head.element.insertBefore(checked, head.element.lastChild);
  const columns = el("div", { class: "columns", "aria-hidden": "true" });
  const priceColumn = el("span");
  const sizeColumn = el("span");
  columns.append(priceColumn, sizeColumn, el("span", {}, "Total"));
  const asks = el("ol", { class: "levels asks", "aria-label": "Sell orders, the best last" });
  const bids = el("ol", { class: "levels bids", "aria-label": "Buy orders, the best first" });
  const lastPrice = el("span", { class: "num last" });
  const spread = el("span", { class: "num muted", title: "The spread, and in basis points of the middle" });
  const middle = el("div", { class: "spread" }, lastPrice, spread);
  const empty = el("p", { class: "empty", hidden: true }, "No orders in this book. The ticket places the first.");
  const levels = el("div", { class: "ladder" }, asks, middle, bids, empty);
  panel.append(head.element, columns, levels);
  const sides = { buy: [], sell: [] };
  let count = 0;

  function resize() {
    const room = levels.clientHeight - middle.offsetHeight;
    const fits = Math.max(FEWEST_ROWS, Math.min(MOST_ROWS, Math.floor(room / 2 / ROW_PX)));
    if (fits === count) return;
    count = fits;
    for (const [side, list] of [["sell", asks], ["buy", bids]]) {
      while (sides[side].length < count) sides[side].push(makeRow(choosePrice));
      sides[side].length = count;
      const shown = side === "sell" ? sides[side].toReversed() : sides[side];
      list.replaceChildren(...shown.map((row) => row.element));
    }
    rove();
    paint();
  }

  /** One row can be reached by Tab; the arrows move on. */
  function rove() {
    for (const row of [...sides.sell, ...sides.buy]) mark(row.button, "tabindex", "-1");
    if (sides.buy[0]) mark(sides.buy[0].button, "tabindex", "0");
  }

  levels.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const order = [...sides.sell.toReversed(), ...sides.buy].filter((row) => row.level);
    const at = order.findIndex((row) => row.button === document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    order[at + step]?.button.focus();
  });

  function offerSteps(rules) {
    const options = STEPS.map((step) => {
      const size = plain(rules.tick * BigInt(step), 8).replace(/\.?0+$/, "");
      return el("option", { value: size }, size);
    });
    grouping.replaceChildren(...options);
  }

  function paintSide(rules, side, found, most, own) {
    sides[side].forEach((row, at) => {
      const level = found[at] ?? null;
      const decimals = Math.min(rules.priceDecimals, decimalsOf(grouping.value) || 0);
      row.level = level && { ...level, price: plain(level.units, rules.priceDecimals) };
      say(row.price, level ? grouped(plain(level.units, Math.max(decimals, 0))) : "");
      say(row.size, level ? plain(level.size, rules.quantityDecimals) : "");
      say(row.total, level ? plain(level.total, rules.quantityDecimals) : "");
      mark(row.button, "disabled", level === null);
      row.bar.style.transform = `scaleX(${level ? share(level.total, most) : 0})`;
      const mine = level && own[side].get(level.units);
      say(row.own, mine ? "◆" : "");
      mark(row.button, "data-own", mine ? "true" : null);
      mark(row.button, "title", mine ? `your open orders here: ${plain(mine, rules.quantityDecimals)}` : null);
    });
  }

  function paint() {
    const rules = markets.chosen.value;
    if (!rules || !count) return;
    const { book } = market;
    const step = units(grouping.value || rules.tick_size);
    const found = { buy: rows(book.bids, count, step, true), sell: rows(book.asks, count, step, false) };
    const most = [found.buy.at(-1)?.total ?? 0n, found.sell.at(-1)?.total ?? 0n].reduce((a, b) => (a > b ? a : b));
    const own = ownSizes(orders.open.values(), step);
    paintSide(rules, "sell", found.sell, most, own);
    paintSide(rules, "buy", found.buy, most, own);
    const [bid, ask] = [book.bids[0], book.asks[0]];
    if (bid && ask) {
      const size = ask.units - bid.units;
      const points = ((size * 20_000n * 100n) / (ask.units + bid.units || 1n)).toString().padStart(3, "0");
      const basis = `${points.slice(0, -2)}.${points.slice(-2)}`;
      say(spread, `${grouped(plain(size, rules.priceDecimals))} · ${basis} bp`);
    } else say(spread, market.isKnown ? "no spread" : "");
    const { last } = market;
    say(lastPrice, last ? `${grouped(last.price)} ${last.aggressor_side === "buy" ? "↑" : "↓"}` : "–");
    mark(lastPrice, "class", `num last ${last ? (last.aggressor_side === "buy" ? "up" : "down") : ""}`);
    empty.hidden = !market.isKnown || Boolean(bid || ask);
    head.at(book.seq || null);
    say(checked, market.mismatches ? `✗ ${market.mismatches}` : market.verified ? "✓" : "");
    mark(checked, "title", `checksum of the copy in this page equals the venue's: ${grouped(market.verified)} times, differs: ${market.mismatches}`);
  }

  markets.chosen.on((rules) => {
    offerSteps(rules);
    say(priceColumn, `Price ${rules.quote_asset}`);
    say(sizeColumn, `Size ${rules.base_asset}`);
    paintSoon(paint);
  });
  new ResizeObserver(() => resize()).observe(levels);
  market.changed.on(() => paintSoon(paint));
  orders.changed.on(() => paintSoon(paint));
}
