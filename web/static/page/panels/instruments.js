// The list of instruments with last price and 24 h change; on a phone the same as a select.

import { byId, el, mark, say } from "../dom.js";
import { grouped } from "../decimals.js";
import { paintSoon } from "../frames.js";
import { heading } from "../sources.js";
import { changeOf } from "./headline.js";

export function instruments({ markets, prices }) {
  const panel = byId("instruments");
  const select = byId("instrument-select");
  const head = heading("Markets", "GET /api/v1/instruments, channel ticker");
  const filter = el("input", {
    type: "search",
    placeholder: "Filter ( / )",
    "aria-label": "Filter instruments",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => paintSoon(paint),
    onkeydown: (event) => {
      if (event.key === "Enter") [...rows.values()].find((row) => !row.element.hidden)?.button.click();
    },
  });
  const list = el("ul", { class: "instruments live" });
  const rows = new Map();
  panel.append(head.element, filter, el("div", { class: "scroll" }, list));
  select.addEventListener("change", () => markets.choose(select.value));

  function row(name) {
    const parts = { name: el("span", { class: "name" }, name), last: el("span", { class: "num" }) };
    parts.change = el("span", { class: "num change" });
    const button = el("button", { type: "button", onclick: () => markets.choose(name) }, ...Object.values(parts));
    const made = { ...parts, button, element: el("li", {}, button), option: el("option", { value: name }, name) };
    list.append(made.element);
    select.append(made.option);
    rows.set(name, made);
    return made;
  }

  function paint() {
    const wanted = filter.value.trim().toUpperCase();
    for (const [name, rules] of markets.all.value) {
      const shown = rows.get(name) ?? row(name);
      const price = prices.of.get(name);
      const change = changeOf(price);
      const isHalted = rules.market_status !== "open";
      shown.element.hidden = !name.toUpperCase().includes(wanted);
      mark(shown.button, "aria-current", name === markets.chosen.value?.name ? "true" : null);
      say(shown.last, price?.last ? grouped(price.last) : "–");
      say(shown.change, isHalted ? rules.market_status.replace("_", " ") : (change?.text ?? "–"));
      mark(shown.change, "class", `num change ${isHalted ? "warn" : (change?.direction ?? "muted")}`);
    }
    head.from(prices.channel === "ticker" ? "GET /api/v1/instruments, channel ticker" : "GET /api/v1/instruments, channel trades");
    if (markets.chosen.value) select.value = markets.chosen.value.name;
  }

  for (const signal of [markets.all, markets.chosen, prices.changed]) signal.on(() => paintSoon(paint));
  return { focus: () => filter.focus() };
}
