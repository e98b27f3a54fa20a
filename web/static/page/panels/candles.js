// The candles with their volume, of the interval that is chosen; drawn by Lightweight Charts.

import { CandlestickSeries, HistogramSeries, createChart } from "/static/vendor/lightweight-charts.mjs";
import { byId, el, mark, say } from "../dom.js";
import { grouped } from "../decimals.js";
import { paintSoon } from "../frames.js";
import { heading } from "../sources.js";
import { colour } from "../theme.js";

const INTERVALS = ["1m", "3m", "5m", "15m", "30m", "1h", "4h", "1d", "1w"];

export function candles({ bars, markets, theme }) {
  const panel = byId("candles");
  const switches = el("div", { class: "switch", role: "group", "aria-label": "Interval" });
  for (const interval of INTERVALS) {
    switches.append(el("button", { type: "button", class: "quiet small", onclick: () => bars.choose(interval) }, interval));
  }
  const head = heading("Candles", "GET /api/v1/candles, channel candles", switches);
  const legend = el("p", { class: "legend num live" });
  const box = el("div", { class: "chart live", role: "img", "aria-label": "Candles of the chosen instrument" });
  const absent = el("p", { class: "empty", hidden: true });
  const thanks = el(
    "a",
    { class: "thanks", href: "https://www.tradingview.com/", rel: "noopener noreferrer", target: "_blank" },
    "Charts by TradingView",
  );
  panel.append(head.element, legend, box, absent, thanks);

  const chart = createChart(box, {
    autoSize: true,
    layout: { attributionLogo: false, fontFamily: "system-ui, sans-serif", fontSize: 11 },
    rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.24 } },
    timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false, rightOffset: 4, barSpacing: 9 },
    crosshair: { mode: 0 },
    handleScale: { axisPressedMouseMove: true },
  });
  const series = chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineStyle: 2 });
  const volumes = chart.addSeries(HistogramSeries, { priceScaleId: "", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
  volumes.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
  let colours = null;
  let due = [];
  let isWhole = true;

  function paintColours() {
    colours = Object.fromEntries(["buy", "sell", "muted", "line", "panel", "text"].map((name) => [name, colour(`--${name}`)]));
    chart.applyOptions({
      layout: { background: { type: "solid", color: colours.panel }, textColor: colours.muted },
      grid: { vertLines: { color: colours.line }, horzLines: { color: colours.line } },
    });
    series.applyOptions({ upColor: colours.buy, downColor: colours.sell, wickUpColor: colours.buy, wickDownColor: colours.sell });
    isWhole = true;
    paintSoon(paint);
  }

  /** Only here do prices become floats: pixels need them. */
  function drawn(at, bar) {
    const time = Math.floor(at / 1_000);
    const [open, close] = [Number(bar.open), Number(bar.close)];
    const shade = close >= open ? colours.buy : colours.sell;
    return [
      { time, open, high: Number(bar.high), low: Number(bar.low), close },
      { time, value: Number(bar.volume), color: shade.replace("rgb(", "rgba(").replace(")", ", 0.35)") },
    ];
  }

  /** Draw the bars that changed; one that has lost all its trades needs all drawn again. */
  function update(newest) {
    for (const at of due.sort((a, b) => a - b)) {
      const bar = bars.known.get(at);
      if (!bar || bar.open === null) {
        isWhole = true;
        return;
      }
      const [candle, volume] = drawn(at, bar);
      series.update(candle, at < newest);
      volumes.update(volume, at < newest);
    }
  }

  function paint() {
    const rules = markets.chosen.value;
    if (!rules || !colours) return;
    const inOrder = bars.inOrder;
    const last = inOrder.at(-1)?.[1] ?? null;
    const drawsAll = isWhole;
    isWhole = false;
    if (drawsAll) {
      const all = inOrder.map(([at, bar]) => drawn(at, bar));
      series.applyOptions({ priceFormat: { type: "price", precision: rules.priceDecimals, minMove: Number(rules.tick_size) } });
      series.setData(all.map(([candle]) => candle));
      volumes.setData(all.map(([, volume]) => volume));
    } else update(inOrder.at(-1)?.[0]);
    due = [];
    if (isWhole) paintSoon(paint);
    say(legend, last ? `O ${grouped(last.open)}  H ${grouped(last.high)}  L ${grouped(last.low)}  C ${grouped(last.close)}  V ${grouped(last.volume)}${last.revision ? `  revision ${last.revision}` : ""}` : "");
    mark(box, "data-bars", inOrder.length);
    mark(box, "data-revision", last?.revision ?? null);
    mark(box, "data-last", last ? `${last.open} ${last.high} ${last.low} ${last.close} ${last.volume}` : null);
    say(absent, bars.problem ?? "No trades yet: the first one opens the first bar.");
    absent.hidden = inOrder.length > 0;
    for (const button of switches.children) mark(button, "aria-pressed", String(button.textContent === bars.interval));
    head.at(bars.seq);
  }

  bars.changed.on((changed) => {
    if (changed === null) isWhole = true;
    else due.push(...changed);
    paintSoon(paint);
  });
  markets.chosen.on(() => chart.timeScale().resetTimeScale());
  theme.on(paintColours);
  paintColours();
}
