// What `?` shows: the call that feeds each panel, up to which seq it is, and the keys.

import { byId, el } from "../dom.js";
import { grouped } from "../decimals.js";
import { allSources } from "../sources.js";
import { KEYS } from "../keys.js";

export function help({ market, stream }) {
  const dialog = byId("help");

  function open() {
    const row = (source) => {
      const seq = source.seq === null ? "–" : grouped(source.seq);
      return el("tr", {}, el("th", { scope: "row" }, source.title), el("td", {}, el("code", {}, source.call)), el("td", { class: "num" }, seq));
    };
    const key = ([name, text]) => el("tr", {}, el("td", {}, el("kbd", {}, name)), el("td", {}, text));
    dialog.replaceChildren(
      el("h2", { id: "help-title" }, "What feeds this page"),
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ...["Panel", "Call", "seq"].map((label) => el("th", { scope: "col" }, label)))),
        el("tbody", {}, ...allSources().map(row)),
      ),
      el(
        "p",
        {},
        `All channels come over one socket, /stream. Messages missing: ${stream.gaps}. Subscriptions resumed: ${stream.resumed}. `,
        `Checksums of the book that were equal: ${grouped(market.verified)}, different: ${market.mismatches}.`,
      ),
      el("h2", {}, "Keys"),
      el("table", {}, el("tbody", {}, ...KEYS.map(key))),
      el(
        "p",
        {},
        "The API: ",
        el("a", { href: "/docs" }, "/docs"),
        ". Charts: ",
        el("a", { href: "https://www.tradingview.com/", rel: "noopener noreferrer", target: "_blank" }, "TradingView Lightweight Charts™"),
        " (",
        el("a", { href: "/static/vendor/NOTICE.txt" }, "notice"),
        ", Apache-2.0), © 2026 TradingView, Inc.; uPlot (MIT).",
      ),
      el("form", { method: "dialog" }, el("button", { class: "small" }, "Close")),
    );
    if (!dialog.open) dialog.showModal();
  }

  byId("help-open").addEventListener("click", open);
  return { open };
}
