// The pipeline strip: what the venue does each second, and how far each role is behind.

import { byId, el, mark, say } from "../dom.js";
import { grouped } from "../decimals.js";
import { paintSoon } from "../frames.js";
import { polling } from "../polling.js";
import { heading } from "../sources.js";
import { colour } from "../theme.js";

const EVERY_MS = 1_000;
const KEPT = 120;
const LATE = 1_000; // records
const SPARK = { width: 96, height: 34 };

export function pipeline({ api, theme }) {
  const strip = byId("pipeline");
  const head = heading("Pipeline", "GET /api/v1/pipeline");
  const list = el("dl", { class: "facts" });
  const cells = {};
  const cell = (name, label, title) => {
    cells[name] = el("dd", { class: "num" }, "–");
    list.append(el("div", { title }, el("dt", {}, label), cells[name]));
  };
  cell("orders", "orders/s", "commands that the engine has answered, a second: orders, cancels, amends");
  cell("matched", "matched/s", "orders that took part in a trade, a second");
  cell("matching", "lag: matching", "commands in Kafka that the engine has not reported");
  cell("gateway", "gateway", "reports in Kafka that this gateway has not applied");
  cell("recording", "recording", "reports in Kafka that Postgres does not have");
  cell("clearing", "clearing", "facts of the ledger that Postgres does not have");
  cell("checkpoint", "checkpoint", "age of the oldest command that no snapshot covers");
  cell("verified", "audit", "no worker audits this venue: `faust -A app verify` compares all that is stored with the log");
  const spark = el("div", { class: "spark", role: "img", "aria-label": "Orders a second in the last two minutes" });
  strip.append(head.element, spark, list);
  const seconds = [];
  const rates = [];
  let before = null;
  let chart = null;

  function draw() {
    chart?.destroy();
    const line = colour("--accent");
    chart = new window.uPlot(
      {
        ...SPARK,
        padding: [2, 0, 2, 0],
        legend: { show: false },
        cursor: { show: false },
        axes: [{ show: false }, { show: false }],
        scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high, 1)] } },
        series: [{}, { stroke: line, width: 1.5, fill: `color-mix(in srgb, ${line} 18%, transparent)`, points: { show: false } }],
      },
      [seconds, rates],
      spark,
    );
  }

  /** Rates between two answers; a gateway that has begun again counts from 0 again. */
  function note(now) {
    const ms = before ? Date.parse(now.time) - Date.parse(before.time) : 0;
    const rate = (name) => (before && ms > 0 && now[name] >= before[name] ? ((now[name] - before[name]) * 1_000) / ms : null);
    const orders = rate("commands");
    const matched = rate("matched");
    if (before && ms === 0) return;
    before = now;
    say(cells.orders, orders === null ? "–" : grouped(orders.toFixed(0)));
    say(cells.matched, matched === null ? "–" : grouped(matched.toFixed(0)));
    seconds.push(Date.parse(now.time) / 1_000);
    rates.push(orders ?? 0);
    if (seconds.length > KEPT) {
      seconds.shift();
      rates.shift();
    }
    if (!chart) draw();
    else paintSoon(() => chart.setData([seconds, rates]));
  }

  function lag(name, records) {
    say(cells[name], records === null ? "unknown" : grouped(records));
    mark(cells[name], "class", `num ${records === null || records > LATE ? "warn" : ""}`);
    cells[name].parentElement.hidden = false;
  }

  const known = new Set(["matching", "gateway", "recording", "clearing"]);

  const asked = polling(async () => {
    let answer;
    try {
      answer = (await api.get("/pipeline")).body;
    } catch (error) {
      mark(strip, "data-old", "true");
      mark(strip, "title", error.message);
      return;
    }
    mark(strip, "data-old", null);
    mark(strip, "title", null);
    note(answer);
    for (const stage of answer.stages) if (known.has(stage.role)) lag(stage.role, stage.lag);
    const age = answer.checkpoint_age_s;
    say(cells.checkpoint, age === null ? "unknown" : `${age.toFixed(1)} s`);
    mark(list, "title", `${grouped(answer.reports)} reports in the log`);
  }, EVERY_MS);
  asked.begin();
  theme.on(() => chart && draw());
}
