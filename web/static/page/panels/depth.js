// The depth chart: what is offered and wanted up to each price, drawn on a canvas once a frame.

import { byId, el, say } from "../dom.js";
import { grouped, plain, share } from "../decimals.js";
import { paintSoon } from "../frames.js";
import { heading } from "../sources.js";
import { colour } from "../theme.js";

const SHOWN_BASIS_POINTS = 150n;
const TICKS = 3;
const FOOT_PX = 16;

/** The steps of a side within the shown prices: [price, total] from the best level outwards. */
function steps(levels, isWithin) {
  const found = [];
  let total = 0n;
  for (const level of levels) {
    if (!isWithin(level.units)) break;
    total += level.size;
    found.push([level.units, total]);
  }
  return found;
}

export function depth({ market, markets, theme }) {
  const panel = byId("depth");
  const head = heading("Depth", "channel book");
  const canvas = el("canvas", { role: "img", "aria-label": "Depth of the book" });
  const note = el("p", { class: "note num muted live" });
  const box = el("div", { class: "canvas live" }, canvas);
  panel.append(head.element, box, note);
  let colours = null;

  function fit() {
    const scale = devicePixelRatio || 1;
    const [width, height] = [box.clientWidth, box.clientHeight];
    if (canvas.width !== width * scale || canvas.height !== height * scale) {
      canvas.width = width * scale;
      canvas.height = height * scale;
    }
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    return { context, width, height };
  }

  function paint() {
    const rules = markets.chosen.value;
    const { context, width, height } = fit();
    const [bid, ask] = [market.book.bids[0], market.book.asks[0]];
    if (!rules || !bid || !ask || width === 0) {
      say(note, market.isKnown ? "needs orders on both sides" : "");
      return;
    }
    colours ??= Object.fromEntries(["buy", "sell", "muted", "line"].map((name) => [name, colour(`--${name}`)]));
    const middle = (bid.units + ask.units) / 2n;
    const furthest = (levels) => levels.at(-1).units;
    const reach = [(middle * SHOWN_BASIS_POINTS) / 10_000n, middle - furthest(market.book.bids), furthest(market.book.asks) - middle];
    const half = reach[1] < reach[0] && reach[2] < reach[0] ? (reach[1] > reach[2] ? reach[1] : reach[2]) : reach[0];
    const [low, high] = [middle - half - 1n, middle + half + 1n];
    const bids = steps(market.book.bids, (price) => price >= low);
    const asks = steps(market.book.asks, (price) => price <= high);
    const most = [bids.at(-1)?.[1] ?? 0n, asks.at(-1)?.[1] ?? 0n].reduce((a, b) => (a > b ? a : b));
    const base = height - FOOT_PX;
    const x = (price) => share(price - low, high - low) * width;
    const y = (total) => base - share(total, most) * (base - 8);
    drawSide(context, bids, x, y, base, 0, colours.buy);
    drawSide(context, asks, x, y, base, width, colours.sell);
    context.fillStyle = colours.muted;
    context.font = "11px system-ui, sans-serif";
    for (let at = 0; at <= TICKS; at += 1) {
      const price = low + ((high - low) * BigInt(at)) / BigInt(TICKS);
      context.textAlign = at === 0 ? "left" : at === TICKS ? "right" : "center";
      context.fillText(grouped(plain(price, rules.priceDecimals)), (width * at) / TICKS, height - 3);
    }
    const total = (side) => plain(side.at(-1)?.[1] ?? 0n, rules.quantityDecimals);
    say(note, `${total(bids)} bid · ${total(asks)} ask ${rules.base_asset}`);
    head.at(market.book.seq || null);
  }

  function drawSide(context, side, x, y, base, edge, stroke) {
    if (!side.length) return;
    context.beginPath();
    context.moveTo(x(side[0][0]), base);
    let last = base;
    for (const [price, total] of side) {
      context.lineTo(x(price), last);
      last = y(total);
      context.lineTo(x(price), last);
    }
    context.lineTo(edge, last);
    context.strokeStyle = stroke;
    context.lineWidth = 1.5;
    context.stroke();
    context.lineTo(edge, base);
    context.closePath();
    context.globalAlpha = 0.16;
    context.fillStyle = stroke;
    context.fill();
    context.globalAlpha = 1;
  }

  theme.on(() => {
    colours = null;
    paintSoon(paint);
  });
  new ResizeObserver(() => paintSoon(paint)).observe(box);
  market.changed.on(() => paintSoon(paint));
}
