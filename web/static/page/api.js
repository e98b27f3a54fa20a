// Calls the HTTP API; an answer that is an error becomes a Problem with the API's own sentence.

const BASE = "/api/v1";
const AGAIN_AFTER_MS = 500;

/** The API's error: `status`, `code`, and its sentence as the message. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? `the gateway answered ${status}`);
    this.status = status;
    this.code = body?.code ?? "unknown";
    this.order = body?.order ?? null;
  }
}

/** Nothing came back: the gateway is away, and nobody knows whether it got the request. */
export class Away extends Error {
  constructor() {
    super("the gateway does not answer");
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A key for a request that may be sent again: 128 random bits. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Api {
  constructor(session) {
    this.session = session;
  }

  /** The body of an answer, and `seq` if it has one; throws Problem and Away. */
  async call(method, path, { body, headers = {} } = {}) {
    const { key } = this.session;
    const wanted = this.session.wantsKey.value;
    if (wanted !== null) throw new Problem(401, { code: "unauthorized", detail: wanted });
    const sent = { ...headers };
    if (key !== null) sent.Authorization = `Bearer ${key}`;
    if (body !== undefined) sent["Content-Type"] = "application/json";
    let response;
    let answer;
    try {
      response = await fetch(BASE + path, {
        method,
        headers: sent,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
      });
      answer = await response.json();
    } catch {
      throw new Away();
    }
    if (response.status === 401) this.session.refuse(answer.detail, key);
    if (!response.ok) throw new Problem(response.status, answer);
    const seq = response.headers.get("X-Seq");
    return { status: response.status, body: answer, seq: seq === null ? null : Number(seq) };
  }

  /** A GET. */
  async get(path) {
    return this.call("GET", path);
  }

  /** A command under one key, sent again under the same key while the gateway is away: it is carried out once. */
  async command(method, path, body, { patienceMs = 15_000, onWait = () => {} } = {}) {
    const headers = { "Idempotency-Key": newKey(), Prefer: "wait=5" };
    const giveUp = Date.now() + patienceMs;
    for (;;) {
      try {
        return await this.call(method, path, { body, headers });
      } catch (error) {
        const isPassing = error instanceof Away || (error.status === 503 && error.code === "not_ready");
        if (!isPassing || Date.now() > giveUp) throw error;
        onWait(error);
        await pause(AGAIN_AFTER_MS);
      }
    }
  }
}

/** A path with a query of the values that are not null. */
export function withQuery(path, values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}
