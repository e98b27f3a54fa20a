// A copy of an instrument's book, kept by the messages of the channel `book`, with the venue's own checksum.

import { crc32 } from "./crc32.js";
import { units } from "./decimals.js";

const CHECKED_LEVELS = 10;

/** The place of a price in levels that are sorted best first. */
function placeOf(levels, price, isBid) {
  let low = 0;
  let high = levels.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const isBefore = isBid ? levels[middle].units > price : levels[middle].units < price;
    if (isBefore) low = middle + 1;
    else high = middle;
  }
  return low;
}

const text = (levels) =>
  levels
    .slice(0, CHECKED_LEVELS)
    .map((level) => `${level.price}:${level.quantity}`)
    .join("|");

export class Book {
  constructor() {
    this.clear();
  }

  clear() {
    /** Levels {price, quantity, orders, units, size}, best first; units and size are BigInt of 10^-8. */
    this.bids = [];
    this.asks = [];
    this.seq = 0;
  }

  /** Take in a snapshot or an update; returns false if the message has a checksum and it differs from ours. */
  take(message) {
    if (message.type === "snapshot") this.clear();
    for (const level of message.data) this.#put(level);
    this.seq = message.seq;
    return message.checksum === undefined || message.checksum === this.checksum();
  }

  checksum() {
    return crc32(`${text(this.bids)}#${text(this.asks)}`);
  }

  #put(level) {
    const isBid = level.side === "buy";
    const levels = isBid ? this.bids : this.asks;
    const price = units(level.price);
    const place = placeOf(levels, price, isBid);
    const isThere = levels[place]?.units === price;
    if (level.orders === 0) {
      if (isThere) levels.splice(place, 1);
      return;
    }
    levels.splice(place, isThere ? 1 : 0, { ...level, units: price, size: units(level.quantity) });
  }
}

/** The best `count` rows of a side, levels of `step` joined, each with the total up to it. `step`: BigInt of 10^-8. */
export function rows(levels, count, step, isBid) {
  const found = [];
  let total = 0n;
  for (const level of levels) {
    const floor = level.units - (level.units % step);
    const price = isBid || floor === level.units ? floor : floor + step;
    const last = found.at(-1);
    if (last?.units !== price && found.length === count) break;
    total += level.size;
    if (last?.units === price) {
      last.size += level.size;
      last.total = total;
    } else {
      found.push({ units: price, size: level.size, total });
    }
  }
  return found;
}
