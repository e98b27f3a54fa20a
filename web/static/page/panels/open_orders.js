// Our open orders of the chosen instrument: amend and cancel each, or cancel all.

import { el, mark, say } from "../dom.js";
import { grouped } from "../decimals.js";
import { paintSoon } from "../frames.js";
import { heading } from "../sources.js";
import { table } from "../table.js";

const words = (text) => (text ?? "–").replaceAll("_", " ");

export function openOrders({ api, markets, orders, session }) {
  const outcome = el("span", { class: "outcome", role: "status", "aria-live": "polite" });
  const cancelAll = el("button", { type: "button", class: "quiet small", onclick: () => everyOne() }, "Cancel all");
  const head = heading("Open orders", "channel orders", outcome, cancelAll);
  let amending = null;

  function report(kind, text) {
    mark(outcome, "data-kind", kind);
    say(outcome, text);
  }

  async function attempt(what) {
    report("wait", "Sending …");
    try {
      report("good", await what());
    } catch (error) {
      report("bad", error.message);
    }
  }

  const everyOne = () =>
    attempt(async () => {
      const whose = session.hasKey ? "" : `client_id=${encodeURIComponent(session.client.value)}&`;
      const path = `/orders?${whose}instrument=${encodeURIComponent(markets.chosen.value.name)}`;
      const { body } = await api.command("DELETE", path);
      const canceled = body.results.flatMap((result) => result.canceled ?? []).length;
      return `${canceled} canceled`;
    });

  const cancel = (order) =>
    attempt(async () => {
      const { body } = await api.command("POST", `/orders/${order.order_id}/cancel`);
      return words(body.status ?? "sent");
    });

  function amendForm(order) {
    const price = el("input", { name: "price", inputmode: "decimal", value: order.price ?? "", "aria-label": "New price" });
    const total = el("input", { name: "quantity", inputmode: "decimal", value: order.quantity, "aria-label": "New total quantity" });
    const send = async (event) => {
      event.preventDefault();
      const change = {};
      if (order.price && price.value.trim() !== order.price) change.price = price.value.trim();
      if (total.value.trim() !== order.quantity) change.quantity = total.value.trim();
      stop();
      if (Object.keys(change).length === 0) return;
      await attempt(async () => words((await api.command("PATCH", `/orders/${order.order_id}`, change)).body.status ?? "sent"));
    };
    const form = el(
      "form",
      { class: "amend", onsubmit: send, onkeydown: (event) => event.key === "Escape" && stop() },
      order.price ? price : null,
      total,
      el("button", { type: "submit", class: "small" }, "Save"),
      el("button", { type: "button", class: "quiet small", onclick: () => stop() }, "Keep"),
    );
    const stop = () => {
      amending?.replaceWith(amending.before);
      amending = null;
    };
    return form;
  }

  function actions(order) {
    const buttons = el("span", { class: "actions" });
    const amend = () => {
      amending?.replaceWith(amending.before);
      const form = amendForm(order);
      buttons.replaceWith(form);
      amending = { replaceWith: (other) => form.replaceWith(other), before: buttons };
      form.querySelector("input").focus();
    };
    const what = `${order.side ?? "order"} ${order.quantity} at ${order.price ?? "market"}`;
    buttons.append(
      el("button", { type: "button", class: "quiet small", onclick: amend, "aria-label": `Amend ${what}` }, "Amend"),
      el("button", { type: "button", class: "quiet small", onclick: () => cancel(order), "aria-label": `Cancel ${what}` }, "Cancel"),
    );
    return buttons;
  }

  const price = (text) => (text ? grouped(text) : "–");
  const rows = table(
    "Open orders",
    [
      { label: "Side", text: (order) => order.side ?? "–", class: (order) => (order.side === "buy" ? "up" : "down") },
      { label: "Type", text: (order) => words(order.type) + (order.post_only ? " · post only" : "") + (order.display_quantity ? " · iceberg" : "") },
      { label: "Price", number: true, text: (order) => price(order.price) },
      { label: "Stop", number: true, text: (order) => price(order.stop_price) },
      { label: "Quantity", number: true, text: (order) => order.quantity },
      { label: "Filled", number: true, text: (order) => order.filled_quantity },
      { label: "Remaining", number: true, text: (order) => order.remaining_quantity },
      { label: "Lifetime", text: (order) => order.time_in_force ?? "–" },
      { label: "Status", text: (order) => words(order.status) },
      { label: "", cell: actions },
    ],
    "No open orders. The ticket places one; it appears here when the engine has it.",
  );

  function paint() {
    rows.show([...orders.open.entries()].reverse());
    head.at(orders.seq);
    cancelAll.disabled = orders.open.size === 0;
  }

  orders.changed.on(() => paintSoon(paint));
  markets.chosen.on(() => report("none", ""));
  return { name: "Orders", head, element: rows.element, count: () => orders.open.size };
}
