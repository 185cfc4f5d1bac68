/** Which tab of a browser has a stream of events: over HTTP/1.1 a browser has six connections for all of its tabs. */

import { newId } from "./env.js";

const KEY = "vaporforge.events";

/**
 * The last tab that takes the floor has it; the others read what is recorded, request by request, so that commands and
 * further tabs find a connection. Where nothing can be kept across tabs, or requests share a connection, all have it.
 */
export class EventFloor {
  #env;
  #id = newId();
  /** Streams of this tab: what one of them leaves, the others still have. */
  #streams = 0;
  /** Whether the browser keeps nothing: its storage is full, or forbidden. */
  #alone = false;

  /** @param {import("./env.js").Env} env */
  constructor(env) {
    this.#env = env;
  }

  get held() {
    return this.#alone || this.#env.multiplexed() || this.#env.shared.get(KEY) === this.#id;
  }

  /** Takes it when nobody has it. @returns {boolean} whether it is this tab's now */
  claim() {
    if (!this.held && this.#env.shared.get(KEY) === null) this.take();
    return this.held;
  }

  take() {
    if (this.held) return;
    try {
      this.#env.shared.set(KEY, this.#id);
    } catch {
      this.#alone = true;
    }
  }

  /** A stream begins; its end is told with `leave`. */
  enter() {
    this.#streams += 1;
  }

  leave() {
    this.#streams -= 1;
    if (this.#streams === 0 && this.#env.shared.get(KEY) === this.#id) this.#env.shared.remove(KEY);
  }
}
