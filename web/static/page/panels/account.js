// What is ours, in four tabs: open orders, fills, positions, the last statement.

import { byId, el, mark, say } from "../dom.js";
import { paintSoon } from "../frames.js";
import { fills } from "./fills.js";
import { openOrders } from "./open_orders.js";
import { positions } from "./positions.js";
import { statement } from "./statement.js";

export function account(parts) {
  const panel = byId("account");
  const list = el("div", { class: "tabs", role: "tablist", "aria-label": "Account" });
  const tabs = [openOrders(parts), fills(parts), positions(parts), statement(parts)].map((content, at) => {
    const count = el("span", { class: "count" });
    const button = el(
      "button",
      { type: "button", role: "tab", id: `tab-${at}`, "aria-controls": `tabpanel-${at}`, onclick: () => show(at) },
      content.name,
      count,
    );
    const body = el(
      "div",
      { class: "tabpanel", role: "tabpanel", id: `tabpanel-${at}`, "aria-labelledby": `tab-${at}`, tabindex: "-1" },
      content.head.element,
      el("div", { class: "live body" }, content.element),
    );
    list.append(button);
    return { content, button, body, count };
  });
  panel.append(list, ...tabs.map((tab) => tab.body));

  function show(chosen) {
    tabs.forEach((tab, at) => {
      mark(tab.button, "aria-selected", String(at === chosen));
      mark(tab.button, "tabindex", at === chosen ? "0" : "-1");
      tab.body.hidden = at !== chosen;
    });
    tabs[chosen].content.shown?.();
  }

  list.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const at = tabs.findIndex((tab) => tab.button === document.activeElement);
    if (!step || at < 0) return;
    const next = (at + step + tabs.length) % tabs.length;
    show(next);
    tabs[next].button.focus();
  });

  function paint() {
    for (const tab of tabs) say(tab.count, tab.content.count?.() ? String(tab.content.count()) : "");
  }

  parts.orders.changed.on(() => paintSoon(paint));
  show(0);
}
