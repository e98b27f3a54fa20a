// The listed instruments with their rules, and which of them the page shows.

import { decimalsOf, units } from "./decimals.js";
import { Signal } from "./signals.js";

const USUAL = "BTC-USD";
const ASK_AGAIN_MS = 15_000;

/** An instrument's rules as the page needs them. */
function rulesOf(listed) {
  return {
    ...listed,
    name: listed.instrument,
    priceDecimals: decimalsOf(listed.tick_size),
    quantityDecimals: decimalsOf(listed.lot_size),
    tick: units(listed.tick_size),
  };
}

export class Markets {
  constructor(api, wanted) {
    this.api = api;
    this.wanted = wanted;
    /** Name -> rules, by name. */
    this.all = new Signal(new Map());
    /** The rules of the instrument that is shown, as they were when it was chosen; null until they are known. */
    this.chosen = new Signal(null);
  }

  /** Ask for the instruments, now and again: somebody may list another one. */
  async run() {
    for (;;) {
      if (!document.hidden || !this.chosen.value) await this.ask();
      await new Promise((resolve) => setTimeout(resolve, this.chosen.value ? ASK_AGAIN_MS : 1_000));
    }
  }

  async ask() {
    try {
      const { body } = await this.api.get("/instruments");
      this.all.set(new Map(body.map((listed) => [listed.instrument, rulesOf(listed)])));
    } catch {
      return;
    }
    if (!this.chosen.value) [this.wanted, USUAL, ...this.all.value.keys()].some((name) => this.choose(name));
  }

  /** The rules and the status of the chosen instrument as they are now; null until they are known. */
  get current() {
    return this.all.value.get(this.chosen.value?.name) ?? this.chosen.value;
  }

  /** Show this instrument; false if it is not listed. */
  choose(name) {
    const rules = this.all.value.get(name);
    if (!rules) return false;
    if (this.chosen.value?.name !== name) this.chosen.set(rules);
    return true;
  }

  /** The channel `status` has told something new of the chosen instrument. */
  told(event) {
    const rules = rulesOf({ ...this.current, ...(event.rules ?? {}) });
    if (event.market_status) rules.market_status = event.market_status;
    this.all.value.set(rules.name, rules);
    this.all.set(this.all.value);
  }
}
