// The chosen instrument as it is now: its book, trades and status, each from a channel of the stream.

import { withQuery } from "./api.js";
import { Book } from "./book.js";
import { Signal } from "./signals.js";

const KEPT_TRADES = 200;
const ASKED_TRADES = 50;

export class MarketNow {
  #subscriptions = [];

  constructor(api, stream, markets) {
    this.api = api;
    this.stream = stream;
    this.markets = markets;
    this.book = new Book();
    /** Latest first. */
    this.trades = [];
    this.tradesSeq = null;
    this.isKnown = false;
    /** How often the copy's checksum was equal to the venue's, and how often it was not. */
    this.verified = 0;
    this.mismatches = 0;
    /** Told when book or trades have changed. */
    this.changed = new Signal(null);
    markets.chosen.on((rules) => this.#follow(rules.name));
  }

  /** The last trade that was not busted. */
  get last() {
    return this.trades.find((trade) => !trade.busted_at) ?? null;
  }

  #follow(instrument) {
    for (const subscription of this.#subscriptions) this.stream.unsubscribe(subscription);
    this.book.clear();
    this.trades = [];
    this.tradesSeq = null;
    this.isKnown = false;
    const book = this.stream.subscribe(
      { channel: "book", instrument },
      { message: (message) => this.#booked(message, book) },
    );
    const trades = { message: (message) => this.#traded(message) };
    const status = { message: (message) => this.#told(message) };
    this.#subscriptions = [
      book,
      this.stream.subscribe({ channel: "status", instrument }, status),
      this.stream.subscribe({ channel: "trades", instrument }, trades),
    ];
    this.changed.set(null);
  }

  #booked(message, subscription) {
    if (message.data) {
      if (!this.book.take(message)) {
        this.mismatches += 1;
        this.stream.startOver(subscription);
      } else if (message.checksum !== undefined) this.verified += 1;
      this.isKnown = true;
    }
    this.book.seq = message.seq;
    this.changed.set(null);
  }

  #traded(message) {
    if (message.type === "snapshot") {
      this.trades = [];
      if (message.data.length < ASKED_TRADES) this.#askEarlier();
    }
    for (const trade of message.data ?? []) this.#put(trade);
    for (const bust of message.busts ?? []) this.#busted(bust);
    this.tradesSeq = message.seq;
    this.changed.set(null);
  }

  /** A gateway's memory begins with its start: Postgres has the trades before. */
  async #askEarlier() {
    const instrument = this.markets.chosen.value.name;
    try {
      const { body } = await this.api.get(withQuery("/trades", { instrument, limit: ASKED_TRADES }));
      if (instrument !== this.markets.chosen.value.name) return;
      for (const trade of body.reverse()) this.#put(trade);
      this.changed.set(null);
    } catch {
      // the tape begins with the trades that the channel tells
    }
  }

  /** Trades are numbered: the place of one among the latest is known. */
  #put(trade) {
    const at = this.trades.findIndex((other) => other.seq <= trade.seq);
    if (at >= 0 && this.trades[at].seq === trade.seq) Object.assign(this.trades[at], trade);
    else this.trades.splice(at < 0 ? this.trades.length : at, 0, trade);
    this.trades.length = Math.min(this.trades.length, KEPT_TRADES);
  }

  #busted(bust) {
    const trade = this.trades.find((other) => other.trade_id === bust.trade_id);
    if (trade) trade.busted_at = bust.busted_at ?? bust.time ?? "busted";
  }

  #told(message) {
    for (const event of message.data ?? []) this.markets.told(event);
  }
}
