/** Whether WebSockets pass between here and the gateway: found out once for a tab, kept, and tried again meanwhile. */

import { openWebSocket } from "./transports.js";

/** WebSockets count as blocked after this many in a row that were closed before a frame came, if they spread over this
 * time at least: a network that just changed fails several within a moment. */
const BLOCKED_SOCKETS = 2;
const BLOCKED_MS = 1000;
/** Where none has passed yet, a handshake gets this long and four round trips, and the first frame as long again: a
 * gateway says `timing` as soon as it has the prompt. */
const FIRST_MS = 1500;
const ROUND_TRIPS = 4;
/** After this long it is found out again whether they are still blocked, beside a run that comes as events. */
export const RETRY_MS = 60_000;
/** How long such a try may take. */
const PROBE_MS = 5000;
const KEY = "vaporforge.sockets-blocked";

export class SocketHealth {
  #env;
  /** When they were last found blocked, in epoch ms; null when they are not known to be. */
  #blockedAt;
  #proven = false;
  #mute = 0;
  #muteSince = 0;
  #probing = false;

  /** @param {import("./env.js").Env} env */
  constructor(env) {
    this.#env = env;
    const kept = env.memory.get(KEY);
    this.#blockedAt = kept === null ? null : Number(kept);
  }

  get blocked() {
    return this.#blockedAt !== null;
  }

  /** How long a handshake may take, and then its first frame; `usual` where they are known to pass. */
  limit(usual, roundTripMs) {
    return this.#proven ? usual : Math.min(usual, FIRST_MS + ROUND_TRIPS * roundTripMs);
  }

  /** By when the next one is to be tried, so that it is soon known whether they are blocked, in ms. */
  get doubtMs() {
    const left = this.#muteSince + BLOCKED_MS - this.#env.now();
    return this.#mute > 0 && left > 0 ? left : Infinity;
  }

  /** A frame came over one. */
  passed() {
    this.#proven = true;
    this.#mute = 0;
    if (this.blocked) this.#env.memory.remove(KEY);
    this.#blockedAt = null;
  }

  /** The network is another one. */
  doubt() {
    this.#proven = false;
    if (this.blocked) this.#blockedAt = 0;
  }

  /**
   * One ended on which nothing came. @param {boolean} timedOut  rather than closed
   * @returns {boolean} whether they may be blocked: they are if HTTP works
   */
  ended(timedOut) {
    if (this.blocked) return true;
    if (this.#mute === 0) this.#muteSince = this.#env.now();
    this.#mute += 1;
    if (timedOut && !this.#proven) return true;
    return this.#mute >= BLOCKED_SOCKETS && this.#env.now() - this.#muteSince >= BLOCKED_MS;
  }

  /** They are. */
  block() {
    this.#blockedAt = this.#env.now();
    this.#proven = false;
    this.#mute = 0;
    this.#env.memory.set(KEY, String(this.#blockedAt));
  }

  /**
   * Finds out whether they still are, once in a while: whether one brings a message of a run that comes as events.
   *
   * @param {ReturnType<import("./api.js").createApi>} api
   * @param {{sessionId: string, run: string, after: number}} where
   */
  async probe(api, where) {
    if (this.#probing || !this.blocked || Math.abs(this.#env.now() - this.#blockedAt) < RETRY_MS) return;
    this.#probing = true;
    this.block();
    if (await this.#passes(api, where).catch(() => false)) this.passed();
    this.#probing = false;
  }

  async #passes(api, where) {
    const env = this.#env;
    const { ticket } = await api.ticket(where.sessionId);
    return new Promise((resolve) => {
      const end = (passed) => {
        env.clearTimeout(timer);
        connection.close();
        resolve(passed);
      };
      const timer = env.setTimeout(() => end(false), PROBE_MS);
      const listener = { onOpen() {}, onLife() {}, onMessage: () => end(true), onEnd: () => end(false) };
      const connection = openWebSocket(env, { ...where, ticket }, listener);
    });
  }
}
