/**
 * A terminal as a client follows it: what it says from a cursor on, and what is typed, each byte once, through as many
 * connections as it takes (docs/protocol.md, section 6).
 */

import { ApiError, isSignIn } from "./api.js";
import { newId } from "./env.js";

/** Nothing said for so long, though a `ping` was due: the connection is dead. */
const SILENT_MS = 45_000;
/** What was typed is confirmed within so long. */
const UNCONFIRMED_MS = 8000;
const TICK_MS = 2000;
/** A connection that has not begun by then is tried anew. */
const BEGIN_MS = 15_000;
const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 10_000;
/** What was read is confirmed at every so many bytes, and a moment behind the last. */
const ACK_BYTES = 64 * 1024;
const ACK_MS = 200;
const MESSAGE_BYTES = 32 * 1024;
/** So much may be typed, or pasted, that the terminal has not taken. */
export const MOST_TYPED = 4 * 1024 * 1024;

const EXITED = 1000;
const ELSEWHERE = 4409;
const AHEAD = 4416;
const UNAUTHORIZED = 4401;
const NOT_FOUND = 4404;
/** A gateway has said why, and says the same again. */
const FATAL = new Set([1009, 4400, 4403, 4410]);

/**
 * @typedef {object} Listener
 * @property {(told: {missed: number, cols: number, rows: number, anew: boolean}) => void} onBegin  what follows lies
 *   behind `missed` bytes that are gone; `anew`: everything comes again from the first byte that is kept
 * @property {(bytes: Uint8Array, cursor: number) => void} onOutput  `cursor`: how far it is with these; to be told to `ack`
 * @property {(size: {cols: number, rows: number}) => void} onSize  another reader has changed it
 * @property {(state: "connecting" | "open" | "waiting" | "exited" | "gone" | "elsewhere" | "failed", detail?: {exitCode?: number, error?: ApiError, delayMs?: number}) => void} onState  `exited`, `gone` and `failed` are final; `elsewhere` until `retry`
 */

export class TerminalStream {
  #env;
  #api;
  #where;
  #listener;
  #client = newId();
  #socket = null;
  #begun = false;
  #over = false;
  #cursor = 0;
  #acked = 0;
  #told = 0;
  #taken = 0;
  /** Behind what was taken, and how much of it this connection has had. */
  #typed = new Uint8Array(0);
  #sent = 0;
  #typedAt = 0;
  #heardAt = 0;
  #openedAt = 0;
  #size = null;
  #tries = 0;
  #error = null;
  #anew = true;
  #asking = null;
  #timers = new Map();
  #unwake;

  /**
   * @param {import("./env.js").Env} env
   * @param {ReturnType<import("./api.js").createApi>} api
   * @param {{sessionId: string, terminal: string}} where
   * @param {Listener} listener
   */
  constructor(env, api, where, listener) {
    this.#env = env;
    this.#api = api;
    this.#where = where;
    this.#listener = listener;
    this.#unwake = env.onWake((why) => this.#wake(why));
    this.#connect();
    this.#after("tick", TICK_MS, () => this.#tick());
  }

  /** Types. @param {Uint8Array} bytes @returns {boolean} whether it was taken: too much may wait already */
  type(bytes) {
    if (this.#over || this.#typed.length + bytes.length > MOST_TYPED) return false;
    if (this.#typed.length === 0) this.#typedAt = this.#env.now();
    const all = new Uint8Array(this.#typed.length + bytes.length);
    all.set(this.#typed);
    all.set(bytes, this.#typed.length);
    this.#typed = all;
    this.#flush();
    return true;
  }

  /** @param {number} cols @param {number} rows */
  resize(cols, rows) {
    this.#size = { cols, rows };
    if (this.#begun) this.#say({ type: "resize", cols, rows });
  }

  /** Has what is on the screen painted anew, by whoever paints it: it is told of another size, and then of its own. */
  redraw() {
    if (!this.#begun || !this.#size || this.#size.rows < 2) return;
    const { cols, rows } = this.#size;
    this.#say({ type: "resize", cols, rows: rows - 1 });
    this.#say({ type: "resize", cols, rows });
  }

  /** Everything before `cursor` has been shown. @param {number} cursor */
  ack(cursor) {
    this.#acked = Math.max(this.#acked, cursor);
    if (this.#acked - this.#told >= ACK_BYTES) this.#tellAck();
    else if (!this.#timers.has("ack")) this.#after("ack", ACK_MS, () => this.#tellAck());
  }

  /** Connects now, where it waits, or was taken over elsewhere. */
  retry() {
    if (this.#socket || this.#asking || this.#over) return;
    this.#stop("retry");
    this.#connect();
  }

  /** Lets go of the terminal, which goes on. Twice is fine. */
  close() {
    this.#over = true;
    this.#unwake();
    for (const name of [...this.#timers.keys()]) this.#stop(name);
    this.#asking?.abort();
    const socket = this.#drop();
    socket?.close(EXITED);
  }

  // -- connections --
  async #connect() {
    const asking = (this.#asking = new AbortController());
    const token = this.#env.token();
    this.#listener.onState("connecting");
    try {
      const { ticket } = await this.#api.ticket(this.#where.sessionId, { signal: asking.signal });
      if (this.#over || this.#asking !== asking) return;
      this.#asking = null;
      this.#open(ticket, token);
    } catch (error) {
      if (this.#over || this.#asking !== asking) return;
      this.#asking = null;
      if (!(error instanceof ApiError)) throw error;
      if (error.transient) this.#wait();
      else this.#end("failed", { error });
    }
  }

  #open(ticket, token) {
    const url = new URL("api/sdk/terminal", this.#env.origin);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = new URLSearchParams({ ...this.#where, ticket, cursor: this.#cursor, client: this.#client, acks: "1" });
    let socket;
    try {
      socket = new this.#env.WebSocket(url.href);
    } catch {
      this.#wait();
      return;
    }
    this.#socket = socket;
    this.#openedAt = this.#heardAt = this.#env.now();
    this.#error = null;
    socket.binaryType = "arraybuffer";
    socket.onerror = () => {}; // A close follows, and says as much as a page may know.
    socket.onmessage = ({ data }) => {
      this.#heardAt = this.#env.now();
      if (typeof data === "string") this.#act(data);
      else this.#output(new Uint8Array(data));
    };
    socket.onclose = ({ code }) => {
      this.#drop();
      this.#closed(code, token);
    };
  }

  /** The socket, of which nothing more is heard. */
  #drop() {
    const socket = this.#socket;
    if (socket) socket.onmessage = socket.onclose = null;
    this.#socket = null;
    this.#begun = false;
    return socket;
  }

  async #closed(code, token) {
    if (code === NOT_FOUND) this.#end("gone");
    else if (code === ELSEWHERE) this.#listener.onState("elsewhere");
    else if (FATAL.has(code)) this.#end("failed", { error: this.#error ?? new ApiError(`The connection was closed with ${code}.`, { code: "closed" }) });
    else if (code === UNAUTHORIZED || isSignIn(this.#error?.code)) {
      const renewed = await this.#api.renewed(this.#error ?? new ApiError("Sign in again.", { code: "unauthorized" }), token);
      if (renewed) this.#wait(0);
      else this.#end("failed", { error: this.#error ?? undefined });
    } else {
      if (code === AHEAD) {
        this.#cursor = this.#acked = 0;
        this.#anew = true;
      }
      this.#wait(this.#delay);
    }
  }

  #delay;

  #wait(delayMs) {
    if (this.#over) return;
    const pause = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#tries) * (0.5 + this.#env.random() / 2);
    this.#tries += 1;
    this.#delay = undefined;
    const wait = delayMs ?? pause;
    this.#listener.onState("waiting", { delayMs: wait });
    this.#after("retry", wait, () => this.#connect());
  }

  #end(state, detail) {
    this.close();
    this.#listener.onState(state, detail);
  }

  // -- messages --
  #act(text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    switch (frame?.type) {
      case "terminal":
        this.#begin(frame);
        break;
      case "input":
        this.#confirm(frame.taken);
        break;
      case "resize":
        if (frame.cols !== this.#size?.cols || frame.rows !== this.#size?.rows) this.#listener.onSize(frame);
        break;
      case "exit":
        this.#end("exited", { exitCode: frame.exitCode });
        break;
      case "reconnect":
        this.#delay = Number(frame.delayMs) || 0;
        break;
      case "error":
        this.#error = new ApiError(String(frame.error), { code: String(frame.code) });
        break;
      default:
    }
  }

  #begin({ cursor, missed, input, cols, rows }) {
    if (!Number.isSafeInteger(cursor) || !Number.isSafeInteger(input)) return;
    this.#begun = true;
    this.#tries = 0;
    this.#cursor = this.#told = cursor;
    this.#acked = Math.max(this.#acked, cursor);
    this.#listener.onBegin({ missed, cols, rows, anew: this.#anew });
    this.#anew = false;
    this.#sent = 0;
    this.#confirm(input);
    this.#sent = 0;
    this.#listener.onState("open");
    if (this.#size && (this.#size.cols !== cols || this.#size.rows !== rows)) this.resize(this.#size.cols, this.#size.rows);
    this.#flush();
  }

  #output(bytes) {
    if (!this.#begun) return;
    this.#cursor += bytes.length;
    this.#listener.onOutput(bytes, this.#cursor);
  }

  /** So many bytes of all that was typed here were taken. */
  #confirm(taken) {
    const more = taken - this.#taken;
    if (!(more > 0)) return;
    this.#typed = this.#typed.slice(more);
    this.#sent = Math.max(0, this.#sent - more);
    this.#taken = taken;
    this.#typedAt = this.#env.now();
  }

  #flush() {
    if (!this.#begun) return;
    while (this.#sent < this.#typed.length) {
      const part = this.#typed.slice(this.#sent, this.#sent + MESSAGE_BYTES);
      this.#socket.send(part);
      this.#sent += part.length;
    }
  }

  #tellAck() {
    this.#stop("ack");
    if (!this.#begun || this.#acked <= this.#told) return;
    this.#told = this.#acked;
    this.#say({ type: "ack", cursor: this.#acked });
  }

  #say(frame) {
    this.#socket.send(JSON.stringify(frame));
  }

  // -- whether it is there --
  #tick() {
    this.#after("tick", TICK_MS, () => this.#tick());
    const now = this.#env.now();
    if (!this.#socket) return;
    const late = this.#begun
      ? now - this.#heardAt > SILENT_MS || (this.#typed.length > 0 && now - Math.max(this.#typedAt, this.#heardAt) > UNCONFIRMED_MS)
      : now - this.#openedAt > BEGIN_MS;
    if (late) this.#again();
  }

  /** Goes on over another connection: nobody knows what became of this one. */
  #again() {
    this.#drop()?.close();
    this.#wait(0);
  }

  #wake(why) {
    if (this.#over) return;
    if (this.#timers.has("retry")) this.retry();
    else if (this.#begun && (why === "online" || this.#env.now() - this.#heardAt > SILENT_MS / 2)) this.#again();
  }

  #after(name, ms, action) {
    this.#stop(name);
    const handle = this.#env.setTimeout(() => {
      this.#timers.delete(name);
      action();
    }, ms);
    this.#timers.set(name, handle);
  }

  #stop(name) {
    if (this.#timers.has(name)) this.#env.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}
