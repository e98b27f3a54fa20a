// Our own orders and fills of the chosen instrument, from the channel `orders`.

import { Signal } from "./signals.js";

const FINISHED = new Set(["filled", "canceled", "expired", "rejected"]);
const KEPT_FILLS = 100;

export class Orders {
  #followed = null;

  constructor(stream, session, markets) {
    this.stream = stream;
    this.session = session;
    this.markets = markets;
    /** Order id -> order as the channel tells it. */
    this.open = new Map();
    /** Latest first. */
    this.fills = [];
    this.seq = null;
    this.changed = new Signal(null);
    /** Told of each new fill: positions have changed. */
    this.filled = new Signal(null);
    markets.chosen.on(() => this.#follow());
    session.client.on((client) => client && !session.hasKey && this.#follow());
  }

  #follow() {
    if (this.#followed) this.stream.unsubscribe(this.#followed);
    this.#followed = null;
    this.open.clear();
    this.fills = [];
    this.seq = null;
    const instrument = this.markets.chosen.value?.name;
    const client = this.session.hasKey ? undefined : this.session.client.value;
    if (instrument && (this.session.hasKey || client)) {
      const params = { channel: "orders", instrument, ...(client && { client_id: client }) };
      this.#followed = this.stream.subscribe(params, { message: (message) => this.#take(message) });
    }
    this.changed.set(null);
  }

  /** Somebody else looks: with another key all begins again. */
  begin() {
    this.#follow();
  }

  #take(message) {
    this.session.isOf(message.client_id);
    if (message.type === "snapshot") {
      this.open.clear();
      this.fills = [];
    }
    for (const order of message.data ?? []) this.#put(order, message);
    for (const fill of message.fills ?? []) this.#fill(fill);
    for (const bust of message.busts ?? []) this.#busted(bust);
    this.seq = message.seq;
    this.changed.set(null);
    if (message.fills?.length && message.type === "update") this.filled.set(message.fills);
  }

  #put(order, message) {
    const known = this.open.get(order.order_id) ?? { seen_at: message.time };
    if (FINISHED.has(order.status)) this.open.delete(order.order_id);
    else this.open.set(order.order_id, { ...known, ...withoutGaps(order) });
  }

  #fill(fill) {
    if (this.fills.some((known) => known.trade_id === fill.trade_id && known.side === fill.side)) return;
    this.fills.unshift(fill);
    this.fills.length = Math.min(this.fills.length, KEPT_FILLS);
  }

  #busted(bust) {
    for (const fill of this.fills) {
      if (fill.trade_id === bust.trade_id) fill.busted_at = bust.busted_at ?? bust.time ?? "busted";
    }
  }
}

/** The members that the message tells: what never changes comes once. */
const withoutGaps = (order) => Object.fromEntries(Object.entries(order).filter(([, value]) => value !== undefined));
