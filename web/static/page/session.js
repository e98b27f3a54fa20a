// Who looks: an API key, kept in this page's memory only, and the client whose orders are shown.

import { Signal } from "./signals.js";

export const NAME = /^(?!\.{1,2}$)[A-Za-z0-9._:-]{1,64}$/;

export class Session {
  /** `client`: the client to begin with, where the gateway asks for no keys. */
  constructor(client) {
    this.key = null;
    /** Whether the gateway wants a key and has none that is good; with the sentence that says why. */
    this.wantsKey = new Signal(null);
    this.client = new Signal(client);
    /** Told when all must be asked again under another key. */
    this.entered = new Signal(null);
  }

  get hasKey() {
    return this.key !== null;
  }

  /** The key's own client, as the venue tells it. */
  isOf(client) {
    if (client && this.hasKey && this.client.value !== client) this.client.set(client);
  }

  /** The gateway refused a request with this key; an answer to an earlier key says nothing of the present one. */
  refuse(sentence, key) {
    if (key !== this.key) return;
    this.key = null;
    if (key !== null) this.client.set(null);
    this.wantsKey.set(sentence);
  }

  enter(key) {
    this.key = key;
    this.client.set(null);
    this.wantsKey.set(null);
    this.entered.set(key);
  }
}
