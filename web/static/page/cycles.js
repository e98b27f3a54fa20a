// The newest cycles of clearing, asked again every few seconds.

import { polling } from "./polling.js";
import { Signal } from "./signals.js";

const EVERY_MS = 5_000;
const LOOKED_AT = 5;

export class Cycles {
  constructor(api, stream) {
    this.api = api;
    /** The newest cycle with what flowed in it, null if there is none, undefined while it is not known. */
    this.newest = new Signal(undefined);
    /** The newest sealed cycle. */
    this.sealed = new Signal(null);
    /** Why nothing is known. */
    this.problem = new Signal(null);
    this.asked = polling(() => this.#ask(), EVERY_MS);
    stream.state.on((state) => state === "live" && this.asked.soon());
  }

  async #ask() {
    try {
      const { body } = await this.api.get(`/settlements?limit=${LOOKED_AT}`);
      const newest = body.length ? (await this.api.get(`/settlements/${body[0].cycle}`)).body : null;
      const sealed = body.find((cycle) => cycle.seal) ?? null;
      if (sealed?.cycle !== this.sealed.value?.cycle) this.sealed.set(sealed);
      this.problem.set(null);
      this.newest.set(newest);
    } catch (error) {
      this.problem.set(error.message);
    }
  }
}
