/** Does something again and again while the reader looks at the page, and at once when they come back to it. */

export class Poller {
  #action;
  #period;
  #timer = 0;
  #closed = false;
  #busy = false;
  /** Whether the next one has fallen due while one was on: what that one read may be older. */
  #due = false;

  /** @param {() => Promise<void>} action  must not reject @param {number} periodMs  from the end of one to the next */
  constructor(action, periodMs) {
    this.#action = action;
    this.#period = periodMs;
    document.addEventListener("visibilitychange", this.#seen);
    this.within(periodMs);
  }

  /** The next time is in `ms`. */
  within(ms) {
    clearTimeout(this.#timer);
    if (!this.#closed) this.#timer = setTimeout(() => this.#tick(), ms);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#seen);
  }

  #seen = () => this.within(0);

  async #tick() {
    if (document.visibilityState !== "visible") return;
    this.#due = this.#busy;
    if (this.#busy) return;
    this.#busy = true;
    await this.#action();
    this.#busy = false;
    this.within(this.#due ? 0 : this.#period);
  }
}
