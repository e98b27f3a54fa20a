// A value that others can follow.

export class Signal {
  #followers = new Set();

  constructor(value) {
    this.value = value;
  }

  /** Set the value and tell every follower, also if it is the same. */
  set(value) {
    this.value = value;
    for (const follower of this.#followers) follower(value);
  }

  /** Be told of each new value; returns how to stop. */
  on(follower) {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }
}
