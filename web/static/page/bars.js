// The bars of one instrument and interval: the latest from `GET /candles`, then each change from the channel `candles`.

import { Problem, withQuery } from "./api.js";
import { Signal } from "./signals.js";

const KEPT = 500;
const NO_BARS = "This venue serves no candles: no worker has the role analytics. Trades and book are live.";

export class Bars {
  #followed = null;
  #number = 0;

  constructor(api, stream, markets) {
    this.api = api;
    this.stream = stream;
    this.markets = markets;
    this.interval = "1m";
    /** Open time in ms -> bar. */
    this.known = new Map();
    this.seq = null;
    this.problem = null;
    /** Told of the bars that changed, or null: all. */
    this.changed = new Signal(null);
    markets.chosen.on(() => this.begin());
  }

  /** Show bars of this length. */
  choose(interval) {
    this.interval = interval;
    this.begin();
  }

  /** Ask for the chosen bars, and follow them. */
  begin() {
    if (this.#followed) this.stream.unsubscribe(this.#followed);
    this.#followed = null;
    this.known.clear();
    this.seq = null;
    this.problem = null;
    this.changed.set(null);
    const instrument = this.markets.chosen.value?.name;
    if (!instrument) return;
    const listener = {
      begun: () => this.#ask(instrument),
      message: (message) => this.#take(message),
      refused: () => this.#absent(null),
    };
    this.#followed = this.stream.subscribe({ channel: "candles", instrument }, listener);
  }

  async #ask(instrument) {
    this.#number += 1;
    const number = this.#number;
    try {
      const path = withQuery("/candles", { instrument, interval: this.interval, limit: KEPT });
      const { body, seq } = await this.api.get(path);
      if (number !== this.#number) return;
      for (const bar of body) this.#put(bar);
      this.seq = Math.max(this.seq ?? 0, seq ?? 0) || null;
      this.problem = null;
    } catch (error) {
      if (number !== this.#number) return;
      this.#absent(error instanceof Problem && error.code !== "not_found" ? error.message : null);
    }
    this.changed.set(null);
  }

  #absent(sentence) {
    this.problem = sentence ?? NO_BARS;
    this.changed.set(null);
  }

  #take(message) {
    const bars = (message.data ?? []).filter((bar) => bar.interval === this.interval);
    for (const bar of bars) this.#put(bar);
    this.seq = message.seq;
    this.problem = null;
    this.changed.set(message.type === "snapshot" ? null : bars.map((bar) => Date.parse(bar.open_time)));
  }

  /** A bar replaces an older state of itself: the `seq` of the report that changed it decides. */
  #put(bar) {
    const at = Date.parse(bar.open_time);
    const before = this.known.get(at);
    if (!before || before.seq <= bar.seq) this.known.set(at, bar);
  }

  /** The bars that have trades, by time. */
  get inOrder() {
    return [...this.known.entries()].filter(([, bar]) => bar.open !== null).sort(([a], [b]) => a - b);
  }
}
