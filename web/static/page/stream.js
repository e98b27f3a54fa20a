// One socket for all channels: keeps a position for each subscription, resumes there, and counts what would be missing.

import { Signal } from "./signals.js";

const STALE_AFTER_MS = 3_500; // three heartbeats
const DEAD_AFTER_MS = 10_000;
const LOOK_MS = 500;
const FIRST_RETRY_MS = 200;
const LONGEST_RETRY_MS = 3_000;
const BEGIN_AGAIN = new Set(["snapshot_required", "other_epoch"]);
const LATER = new Set(["beyond_end", "overloaded", "not_ready", "rate_limited", "already_subscribed"]);
const MOST_TRIES = 20;

/** A channel of an instrument: what the page has of it, and who is told. */
class Subscription {
  constructor(params) {
    this.params = params;
    this.listeners = new Set();
    this.key = keyOf(params);
    this.forget();
    this.isBegun = false;
    this.tries = 0;
  }

  /** Begin with a snapshot the next time. */
  forget() {
    this.seq = null;
    this.epoch = null;
  }

  get request() {
    return this.seq === null ? this.params : { ...this.params, from_seq: this.seq, epoch: this.epoch };
  }
}

const keyOf = ({ channel, instrument }) => `${channel} ${instrument}`;

export class Stream {
  #socket = null;
  #subscriptions = new Map();
  #asked = new Map();
  #number = 0;
  #retryMs = FIRST_RETRY_MS;
  #heardAt = 0;
  #timer = null;

  /** `probe` finds out why no socket can be had: a browser does not tell. */
  constructor(session, probe) {
    this.session = session;
    this.probe = probe;
    this.state = new Signal("connecting");
    this.gaps = 0;
    this.resumed = 0;
    this.lostAt = null;
    setInterval(() => this.#look(), LOOK_MS);
  }

  /** Follow a channel; the listener has `message`, and `begun` and `refused` if it wants. Several may follow the same one. */
  subscribe(params, listener) {
    const known = this.#subscriptions.get(keyOf(params));
    const subscription = known ?? new Subscription(params);
    subscription.listeners.add(listener);
    this.#subscriptions.set(subscription.key, subscription);
    const followed = { subscription, listener };
    if (known) this.startOver(followed);
    else this.#ask(subscription);
    return followed;
  }

  unsubscribe({ subscription, listener }) {
    subscription.listeners.delete(listener);
    if (subscription.listeners.size || this.#subscriptions.get(subscription.key) !== subscription) return;
    this.#subscriptions.delete(subscription.key);
    this.#end(subscription);
  }

  /** Begin again with a snapshot: something of the copy is wrong, or somebody else needs one. */
  startOver({ subscription }) {
    subscription.forget();
    this.#again(subscription);
  }

  /** Connect, or connect again as somebody else: then all positions are forgotten. */
  connect() {
    clearTimeout(this.#timer);
    for (const subscription of this.#subscriptions.values()) subscription.forget();
    this.#drop();
    this.state.set("connecting");
    this.#open();
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    for (const subscription of this.#subscriptions.values()) subscription.isBegun = false;
    this.#asked.clear();
    socket?.close();
  }

  #open() {
    const url = new URL("/stream", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const offered = this.session.hasKey ? ["matchstream", `bearer.${this.session.key}`] : ["matchstream"];
    const socket = new WebSocket(url, offered);
    this.#socket = socket;
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = (event) => socket === this.#socket && this.#heard(JSON.parse(event.data));
    socket.onclose = () => socket === this.#socket && this.#closed();
  }

  #opened(socket) {
    if (socket !== this.#socket) return;
    this.#heardAt = performance.now();
    for (const subscription of this.#subscriptions.values()) this.#ask(subscription);
  }

  async #closed() {
    this.#drop();
    this.lostAt ??= Date.now();
    this.state.set("lost");
    const delayMs = this.#retryMs * (0.75 + Math.random() / 2);
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
    const found = await this.probe();
    if (this.#socket !== null) return; // somebody has connected meanwhile, under another key
    if (found === "unauthorized") {
      this.state.set("locked");
      return;
    }
    this.#timer = setTimeout(() => this.#socket === null && this.#open(), delayMs);
  }

  #look() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const silentMs = performance.now() - this.#heardAt;
    if (silentMs > DEAD_AFTER_MS) this.#closed();
    else if (silentMs > STALE_AFTER_MS && this.state.value === "live") {
      this.lostAt ??= Date.now();
      this.state.set("stale");
    }
  }

  #heard(message) {
    this.#heardAt = performance.now();
    if (message.prev_seq !== undefined) this.#take(message);
    else if (this.#asked.has(message.req_id)) this.#answered(message);
    if (this.state.value === "stale") this.#live();
  }

  #live() {
    this.#retryMs = FIRST_RETRY_MS;
    this.lostAt = null;
    if (this.state.value !== "live") this.state.set("live");
  }

  #take(message) {
    const subscription = this.#subscriptions.get(keyOf(message));
    if (!subscription?.isBegun) return;
    if (message.prev_seq !== subscription.seq) {
      this.gaps += 1;
      this.#again(subscription);
      return;
    }
    subscription.seq = message.seq;
    if (message.type === "skipped") return;
    for (const listener of subscription.listeners) listener.message(message);
  }

  #answered({ req_id: number, result, error }) {
    const subscription = this.#asked.get(number);
    this.#asked.delete(number);
    if (this.#subscriptions.get(subscription.key) !== subscription) {
      if (result) this.#end(subscription);
      return;
    }
    if (error) {
      this.#refused(subscription, error);
      return;
    }
    if (result.recovered) this.resumed += 1;
    Object.assign(subscription, { isBegun: true, seq: result.last_seq, epoch: result.epoch, tries: 0 });
    for (const listener of subscription.listeners) listener.begun?.(result);
    this.#live();
  }

  #refused(subscription, error) {
    if (BEGIN_AGAIN.has(error.code)) {
      subscription.forget();
      this.#ask(subscription);
    } else if (LATER.has(error.code) && subscription.tries < MOST_TRIES) {
      subscription.tries += 1;
      const socket = this.#socket;
      setTimeout(() => socket === this.#socket && this.#ask(subscription), 1_000 * (error.retry_after_s ?? 0.5));
    } else {
      this.#subscriptions.delete(subscription.key);
      for (const listener of subscription.listeners) listener.refused?.(error);
    }
  }

  #again(subscription) {
    this.#end(subscription);
    this.#ask(subscription);
  }

  #ask(subscription) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    if (this.#subscriptions.get(subscription.key) !== subscription) return;
    subscription.isBegun = false;
    this.#number += 1;
    this.#asked.set(this.#number, subscription);
    this.#send("subscribe", subscription.request, this.#number);
  }

  #end(subscription) {
    subscription.isBegun = false;
    const { channel, instrument, client_id } = subscription.params;
    this.#send("unsubscribe", client_id ? { channel, instrument, client_id } : { channel, instrument });
  }

  #send(method, params, number) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ method, params, req_id: number }));
    }
  }
}
