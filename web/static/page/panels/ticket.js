// The order ticket: what it sends is `POST /orders`, what it shows is the venue's answer or its own sentence of refusal.

import { byId, el, mark, say } from "../dom.js";
import { grouped, plain, times, typed } from "../decimals.js";
import { paintSoon } from "../frames.js";
import { heading } from "../sources.js";

const TYPES = { limit: "Limit", market: "Market", stop: "Stop", stop_limit: "Stop limit" };
const HAS_PRICE = new Set(["limit", "stop_limit"]);
const HAS_STOP = new Set(["stop", "stop_limit"]);

/** Radio buttons that look like one switch. */
function choice(name, label, options, onchange) {
  const inputs = Object.entries(options).map(([value, text], at) => {
    const input = el("input", { type: "radio", name, value, onchange });
    input.checked = at === 0;
    return el("label", { class: `option ${value}` }, input, el("span", {}, text));
  });
  return el("fieldset", { class: `choice ${name}` }, el("legend", { class: "hidden" }, label), ...inputs);
}

function field(label, name, attributes = {}) {
  const unit = el("span", { class: "unit" });
  const input = el("input", { name, type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false", ...attributes });
  return { input, unit, element: el("label", { class: "field" }, el("span", { class: "label" }, label), input, unit) };
}

/** What a market order of this size would take from the book: its value and what the book lacks, as BigInt. */
function taken(levels, size) {
  let left = size;
  let value = 0n;
  for (const level of levels) {
    const part = left < level.size ? left : level.size;
    value += times(part, level.units);
    left -= part;
    if (left === 0n) break;
  }
  return { value, missing: left };
}

export function ticket({ api, market, markets, session }) {
  const panel = byId("ticket");
  const head = heading("Order", "POST /api/v1/orders?wait=matched");
  const price = field("Price", "price");
  const stop = field("Stop price", "stop_price");
  const quantity = field("Quantity", "quantity");
  const shown = field("Displayed", "display_quantity", { placeholder: "all" });
  const expires = field("Expires", "expire_time", { type: "datetime-local", inputmode: null, step: "1" });
  const lifetime = el("select", { name: "time_in_force" });
  lifetime.append(...["GTC", "IOC", "FOK", "GTD"].map((word) => el("option", { value: word }, word)));
  const postOnly = el("input", { type: "checkbox", name: "post_only" });
  const value = el("output", { class: "value num" });
  const send = el("button", { type: "submit", class: "send" });
  const outcome = el("p", { class: "outcome", role: "status", "aria-live": "polite" });
  const more = el(
    "div",
    { class: "pair" },
    el("label", { class: "field" }, el("span", { class: "label" }, "Lifetime"), lifetime),
    el("label", { class: "check" }, postOnly, "Post only"),
  );
  const form = el(
    "form",
    { autocomplete: "off", novalidate: true },
    choice("side", "Side", { buy: "Buy", sell: "Sell" }, () => paintSoon(paint)),
    choice("type", "Order type", TYPES, () => paintSoon(paint)),
    price.element,
    stop.element,
    quantity.element,
    shown.element,
    more,
    expires.element,
    el("div", { class: "row" }, el("span", { class: "muted" }, "Value"), value),
    send,
    outcome,
  );
  panel.append(head.element, el("div", { class: "scroll" }, form));
  let isSending = false;
  const chosen = (name) => form.elements[name].value;

  function paint() {
    const rules = markets.current;
    if (!rules) return;
    const [side, type] = [chosen("side"), chosen("type")];
    price.element.hidden = !HAS_PRICE.has(type);
    stop.element.hidden = !HAS_STOP.has(type);
    shown.element.hidden = !HAS_PRICE.has(type);
    postOnly.disabled = type !== "limit";
    expires.element.hidden = lifetime.value !== "GTD";
    const status = rules.market_status;
    const isHalted = status !== "open";
    say(send, isSending ? "Sending …" : `${side === "buy" ? "Buy" : "Sell"} ${rules.base_asset}${isHalted ? ` (${status.replace("_", " ")})` : ""}`);
    mark(send, "class", `send ${side}`);
    send.disabled = isSending;
    say(value, estimate(rules, side, type));
  }

  function estimate(rules, side, type) {
    const size = typed(quantity.input.value);
    if (!size) return `– ${rules.quote_asset}`;
    const shownDecimals = Math.max(rules.priceDecimals, 2);
    if (HAS_PRICE.has(type)) {
      const at = typed(price.input.value);
      return at === null ? `– ${rules.quote_asset}` : `${grouped(plain(times(size, at), shownDecimals))} ${rules.quote_asset}`;
    }
    const { value: cost, missing } = taken(side === "buy" ? market.book.asks : market.book.bids, size);
    if (missing > 0n) return `the book lacks ${plain(missing, rules.quantityDecimals)} ${rules.base_asset}`;
    return `≈ ${grouped(plain(cost, shownDecimals))} ${rules.quote_asset}`;
  }

  function request(rules) {
    const type = chosen("type");
    const order = { instrument: rules.name, side: chosen("side"), type, quantity: quantity.input.value.trim() };
    if (!session.hasKey) order.client_id = session.client.value;
    if (HAS_PRICE.has(type)) order.price = price.input.value.trim();
    if (HAS_STOP.has(type)) order.stop_price = stop.input.value.trim();
    if (HAS_PRICE.has(type) && shown.input.value.trim()) order.display_quantity = shown.input.value.trim();
    if (type === "limit" && postOnly.checked) order.post_only = true;
    order.time_in_force = lifetime.value;
    if (lifetime.value === "GTD" && expires.input.value) order.expire_time = new Date(expires.input.value).toISOString();
    return order;
  }

  function report(kind, text) {
    mark(outcome, "data-kind", kind);
    say(outcome, text);
  }

  async function place(event) {
    event.preventDefault();
    const rules = markets.chosen.value;
    if (isSending || !rules) return;
    isSending = true;
    paint();
    report("wait", "Sending …");
    try {
      const onWait = () => report("wait", "The gateway does not answer. The same order is sent again under its key.");
      const { body } = await api.command("POST", "/orders?wait=matched", request(rules), { onWait });
      const filled = typed(body.filled_quantity ?? "0");
      const part = filled ? `, ${body.filled_quantity} at ${grouped(body.avg_price.replace(/\.?0+$/, ""))}` : "";
      report(body.status === "rejected" ? "bad" : "good", `${body.status.replaceAll("_", " ")}${part}${body.reason ? `: ${body.reason.replaceAll("_", " ")}` : ""}`);
      head.at(body.seq ?? null);
    } catch (error) {
      report("bad", error.message);
    }
    isSending = false;
    paint();
  }

  form.addEventListener("submit", place);
  form.addEventListener("input", () => paintSoon(paint));
  market.changed.on(() => paintSoon(paint));
  markets.all.on(() => paintSoon(paint));
  markets.chosen.on((rules) => {
    for (const each of [price, stop]) say(each.unit, rules.quote_asset);
    for (const each of [quantity, shown]) say(each.unit, rules.base_asset);
    for (const each of [price, stop, quantity, shown]) each.input.value = "";
    mark(quantity.input, "placeholder", `lots of ${rules.lot_size}`);
    mark(price.input, "placeholder", `ticks of ${rules.tick_size}`);
    report("none", "");
    paintSoon(paint);
  });

  const choose = (name, word) => {
    form.querySelector(`input[name="${name}"][value="${word}"]`).checked = true;
    paintSoon(paint);
  };
  return {
    /** A level of the book was clicked: take its price. */
    take(level) {
      if (!HAS_PRICE.has(chosen("type"))) choose("type", "limit");
      price.input.value = level.price;
      paintSoon(paint);
    },
    focus(side) {
      choose("side", side);
      quantity.input.focus();
      quantity.input.select();
    },
  };
}
