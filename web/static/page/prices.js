// The last price and the 24 hours of every instrument: from the channel `ticker`, else last prices from `trades`.

import { withQuery } from "./api.js";
import { Signal } from "./signals.js";

const MOST_FOLLOWED = 40; // a connection has at most 100 subscriptions

export class Prices {
  #followed = new Map();

  constructor(api, stream, markets) {
    this.api = api;
    this.stream = stream;
    /** Name -> ticker; of a venue without tickers only `last`. */
    this.of = new Map();
    /** Told when a price has changed. */
    this.changed = new Signal(null);
    /** The channel in use. */
    this.channel = "ticker";
    markets.all.on((all) => this.#follow([...all.keys()].slice(0, MOST_FOLLOWED)));
  }

  #follow(names) {
    for (const name of names) {
      if (!this.#followed.has(name)) this.#begin(name);
    }
  }

  #begin(name) {
    const isTicker = this.channel === "ticker";
    const listener = {
      message: (message) => (isTicker ? this.#ticked(name, message) : this.#traded(name, message)),
      refused: () => {
        if (!isTicker) return;
        this.channel = "trades";
        this.#begin(name);
      },
    };
    const params = { channel: isTicker ? "ticker" : "trades", instrument: name };
    this.#followed.set(name, this.stream.subscribe(params, listener));
  }

  #ticked(name, message) {
    if (!message.data) return;
    this.of.set(name, message.data[0]);
    this.changed.set(name);
  }

  #traded(name, message) {
    const trade = message.data?.at(-1);
    if (trade) this.#last(name, trade);
    else if (message.type === "snapshot") this.#askLast(name);
  }

  #last(name, trade) {
    this.of.set(name, { last: trade.price });
    this.changed.set(name);
  }

  /** A gateway's memory begins with its start: Postgres has the trades before. */
  async #askLast(name) {
    try {
      const { body } = await this.api.get(withQuery("/trades", { instrument: name, limit: 1 }));
      if (body.length && !this.of.has(name)) this.#last(name, body[0]);
    } catch {
      // unknown until the next trade
    }
  }
}
