/** Follows one run to its last frame through any number of connections: backoff, heartbeat, cursor, fall-back to SSE. */

import { newId } from "./env.js";
import { Cursor, parseMessage, toEvent } from "./frames.js";
import { outcomeOfEnd, outcomeOfError } from "./outcomes.js";
import { openEventStream, openWebSocket } from "./transports.js";

/** A server sends at least a ping every 20 s (a comment every 30 s over SSE); a link silent for this long is dead. */
export const SILENCE_MS = 45_000;
/** A link silent for longer than a ping's period is not trusted when the tab comes back. */
const DOUBT_MS = 25_000;
/** A handshake may take this long, and then again the first frame. */
const HANDSHAKE_MS = 15_000;
export const BACKOFF_BASE_MS = 250;
export const BACKOFF_CAP_MS = 10_000;
/** A connection that lived this long was a good one, even if nothing happened on it. */
const STABLE_MS = 10_000;
/** WebSockets count as blocked after this many in a row on which no frame came, if they spread over this time at least: a
 * network that just changed fails several within a moment. (A gateway says `timing` as soon as it has the prompt.) */
const BLOCKED_SOCKETS = 2;
const BLOCKED_MS = 1000;
/** As often as this the next frame may be missing or spoilt before the reader is told that it cannot be had. */
const MAX_SPOILT = 5;

/** @typedef {import("./outcomes.js").Outcome} Outcome */

export class RunStream {
  #env;
  #api;
  #start;
  #sessionId;
  #cursor;
  #emit;
  #closed = false;
  /** Set while something can be interrupted: ends the connection, or the pause before the next. */
  #interrupt = null;
  #failures = 0;
  #mute = 0;
  #blockedSince = 0;
  #spoilt = 0;
  #transport;
  #auto;

  /**
   * @param {import("./env.js").Env} env
   * @param {ReturnType<import("./api.js").createApi>} api
   * @param {object} options  see `streamWs` in client.js
   * @param {(event: object) => void} emit
   */
  constructor(env, api, options, emit) {
    const { sessionId, prompt, cwd, mode, messageId, onBusy, run = null, after = 0, transport = "auto" } = options;
    this.#env = env;
    this.#api = api;
    this.#sessionId = sessionId;
    this.#emit = emit;
    this.#auto = transport === "auto";
    this.#transport = transport === "sse" ? "sse" : "ws";
    this.#cursor = new Cursor(run, run ? after : 0);
    // One id for all tries: the gateway knows a prompt that it has seen and attaches to its run.
    this.#start = run ? null : { prompt, cwd, mode, messageId: messageId ?? newId(), onBusy };
  }

  /** Ends it; `follow()` returns soon after. */
  close() {
    this.#closed = true;
    this.#interrupt?.({ kind: "closed" });
  }

  /** Connects until the run is over, it was closed, or trying again cannot help. Never rejects. */
  async follow() {
    const off = this.#env.onWake((why) => this.#woken(why));
    try {
      while (!this.#closed) {
        this.#emit({ type: "connection", state: "connecting", transport: this.#transport });
        const outcome = await this.#connect();
        if (!(await this.#goesOn(outcome))) return;
      }
    } finally {
      off();
    }
  }

  /** Deals with how a connection ended. @param {Outcome} outcome @returns {Promise<boolean>} whether to connect again */
  async #goesOn(outcome) {
    if (outcome.kind === "done" || outcome.kind === "closed") return false;
    if (outcome.kind === "ahead" && this.#cursor.seq > 0) {
      this.#cursor.rewind();
      this.#emit({ type: "reset", run: this.#cursor.run });
      return true;
    }
    if (outcome.kind !== "lost") {
      const { message, code } = outcome.error ?? { message: "The run cannot be read.", code: "cursor-ahead" };
      this.#emit({ type: "error", content: message, code, fatal: true });
      return false;
    }
    const switched = outcome.blocked && (await this.#considerFallback());
    const delayMs = switched ? 0 : (outcome.delayMs ?? this.#backoff());
    this.#emit({ type: "connection", state: "waiting", transport: this.#transport, delayMs, reason: outcome.reason });
    await this.#pause(delayMs);
    return true;
  }

  /** Full jitter: anything between nothing and an exponentially growing cap, so that a crowd spreads out. */
  #backoff() {
    const cap = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** this.#failures);
    this.#failures += 1;
    return Math.round(this.#env.random() * cap);
  }

  /**
   * WebSockets on which nothing comes while HTTP works mean that something between blocks them.
   *
   * @returns {Promise<boolean>} whether the other way is to be tried at once
   */
  async #considerFallback() {
    if (!this.#auto) return false;
    if (this.#transport === "sse") {
      this.#transport = "ws";
      return false;
    }
    if (this.#mute === 0) this.#blockedSince = this.#env.now();
    this.#mute += 1;
    if (this.#mute < BLOCKED_SOCKETS || this.#env.now() - this.#blockedSince < BLOCKED_MS) return false;
    const answers = await this.#api.version().then(
      () => true,
      () => false,
    );
    if (answers) this.#transport = "sse";
    return answers;
  }

  /** @param {number} ms */
  async #pause(ms) {
    if (this.#closed) return;
    await new Promise((resolve) => {
      const timer = this.#env.setTimeout(resolve, ms);
      this.#interrupt = () => {
        this.#env.clearTimeout(timer);
        resolve();
      };
    });
    this.#interrupt = null;
  }

  #woken(why) {
    this.#failures = 0;
    this.#interrupt?.({ kind: "lost", delayMs: 0, reason: why }, why);
  }

  /** One connection, from the ticket to its end. @returns {Promise<Outcome>} */
  async #connect() {
    let ticket = "";
    if (this.#transport === "ws") {
      const abort = new AbortController();
      this.#interrupt = () => abort.abort();
      try {
        ({ ticket } = await this.#api.ticket(this.#sessionId, { signal: abort.signal }));
      } catch (error) {
        return this.#closed ? { kind: "closed" } : outcomeOfError(error);
      } finally {
        this.#interrupt = null;
      }
      if (this.#closed) return { kind: "closed" };
    }
    return new Promise((resolve) => this.#open(ticket, resolve));
  }

  /** @param {string} ticket @param {(outcome: Outcome) => void} resolve */
  #open(ticket, resolve) {
    const env = this.#env;
    const openedAt = env.now();
    let lastLife = openedAt;
    let timer;
    let told; // the last error frame about the connection
    let spoke = false; // whether a message came
    let finished = false;

    const finish = (outcome) => {
      if (finished) return;
      finished = true;
      env.clearTimeout(timer);
      this.#interrupt = null;
      connection.close();
      if (env.now() - openedAt > STABLE_MS) this.#failures = 0;
      resolve(outcome);
    };
    const within = (ms, reason) => {
      env.clearTimeout(timer);
      timer = env.setTimeout(() => finish({ kind: "lost", reason, blocked: !spoke }), ms);
    };
    const begin = () => within(this.#transport === "ws" ? HANDSHAKE_MS : SILENCE_MS, "handshake");
    const alive = () => {
      lastLife = env.now();
      within(SILENCE_MS, "silence");
    };
    const take = (frame) => {
      if (frame.type === "ping") return connection.send('{"type":"pong"}');
      if (frame.type === "reconnect") {
        return finish({ kind: "lost", delayMs: Math.max(0, Number(frame.delayMs) || 0), reason: "draining" });
      }
      if (frame.type === "error" && frame.seq === undefined) {
        told = { message: frame.error, code: frame.code };
        return undefined;
      }
      const judgement = this.#cursor.judge(frame);
      if (judgement === "gap") return finish(this.#spoil("gap"));
      if (judgement === "drop") return undefined;
      if (frame.seq !== undefined) this.#failures = this.#spoilt = 0;
      const event = toEvent(frame);
      if (event) this.#emit(event);
      return event?.type === "ws-exit" ? finish({ kind: "done" }) : undefined;
    };

    begin();
    const connection = this.#dial(ticket, {
      onOpen: () => {
        begin();
        this.#emit({ type: "connection", state: "open", transport: this.#transport });
        if (this.#cursor.run === null) connection.send(JSON.stringify({ type: "start", ...this.#start }));
      },
      onLife: alive,
      onMessage: (data) => {
        spoke = true;
        this.#mute = 0;
        alive();
        try {
          for (const frame of parseMessage(data)) {
            if (finished) return;
            take(frame);
          }
        } catch (error) {
          if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
          finish(this.#spoil("malformed"));
        }
      },
      onEnd: (end) => finish(outcomeOfEnd({ ...end, spoke }, told)),
    });
    this.#interrupt = (outcome, why) => {
      if (why !== "visible" || env.now() - lastLife > DOUBT_MS) finish(outcome);
    };
  }

  /** @param {string} ticket @param {import("./transports.js").Listener} listener */
  #dial(ticket, listener) {
    const { run, seq } = this.#cursor;
    if (this.#transport === "sse") {
      const body = { sessionId: this.#sessionId, ...(run === null ? this.#start : { run }) };
      return openEventStream(this.#env, { body, lastEventId: run === null ? undefined : `${run}:${seq}` }, listener);
    }
    const url = new URL("/api/sdk/ws", this.#env.origin);
    url.protocol = url.protocol.replace("http", "ws");
    url.search = new URLSearchParams({ sessionId: this.#sessionId, ticket, batch: "1" });
    if (run !== null) {
      url.searchParams.set("run", run);
      url.searchParams.set("after", seq);
    }
    return openWebSocket(this.#env, url, listener);
  }

  /** The next frame is missing or no frame: read again from the cursor, at once, but not for ever. @returns {Outcome} */
  #spoil(reason) {
    this.#spoilt += 1;
    if (this.#spoilt < MAX_SPOILT) return { kind: "lost", delayMs: this.#spoilt === 1 ? 0 : undefined, reason };
    const message = `Frame ${this.#cursor.seq + 1} of this run cannot be had any more.`;
    return { kind: "fatal", error: { message, code: "frames-missing" } };
  }
}
