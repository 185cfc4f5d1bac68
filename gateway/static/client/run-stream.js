/** Follows one run to its last frame through any number of connections: backoff, heartbeat, cursor, fall-back to SSE. */

import { isSignIn } from "./api.js";
import { newId } from "./env.js";
import { Cursor, parseMessage, toEvent } from "./frames.js";
import { outcomeOfEnd, outcomeOfError } from "./outcomes.js";
import { dial } from "./ways.js";

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
/** As often as this the next frame may be missing or spoilt before the reader is told that it cannot be had. */
const MAX_SPOILT = 5;

/** @typedef {import("./outcomes.js").Outcome} Outcome */

export class RunStream {
  #env;
  #api;
  #health;
  #floor;
  #start;
  #sessionId;
  #cursor;
  #emit;
  #closed = false;
  /** Set while something can be interrupted: ends the connection, or the pause before the next. */
  #interrupt = null;
  #failures = 0;
  /** How long the last ticket took, in ms. */
  #roundTrip = 0;
  #spoilt = 0;
  #transport;
  /** Whether events are read as they are recorded, for another tab has the floor. */
  #polls = false;
  #auto;
  /** The token that the connection came in with. */
  #token = "";

  /**
   * @param {{env: import("./env.js").Env, api: ReturnType<import("./api.js").createApi>,
   *   health: import("./socket-health.js").SocketHealth, floor: import("./event-floor.js").EventFloor}} world
   * @param {object} options  see `streamWs` in client.js
   * @param {(event: object) => void} emit
   */
  constructor({ env, api, health, floor }, options, emit) {
    const { sessionId, prompt, cwd, mode, messageId, onBusy, run = null, after = 0, transport = "auto" } = options;
    this.#env = env;
    this.#api = api;
    this.#health = health;
    this.#floor = floor;
    this.#sessionId = sessionId;
    this.#emit = emit;
    this.#auto = transport === "auto";
    this.#transport = transport === "sse" || (this.#auto && health.blocked) ? "sse" : "ws";
    this.#cursor = new Cursor(run, run ? after : 0);
    // One id for all tries: the gateway knows a prompt that it has seen and attaches to its run.
    this.#start = run ? null : { prompt, cwd, mode, messageId: messageId ?? newId(), onBusy };
  }

  get #way() {
    return this.#polls ? "poll" : this.#transport;
  }

  /** Ends it; `follow()` returns soon after. */
  close() {
    this.#closed = true;
    this.#interrupt?.({ kind: "closed" });
  }

  /** Connects until the run is over, it was closed, or trying again cannot help. Never rejects. */
  async follow() {
    const off = this.#env.onWake((why) => this.#woken(why));
    const deaf = this.#env.shared.onChange(() => this.#makeRoom());
    this.#floor.enter();
    if (this.#transport === "sse") this.#floor.take();
    try {
      while (!this.#closed) {
        if (this.#transport === "sse" && this.#cursor.run === null) this.#floor.take();
        this.#polls = this.#transport === "sse" && !this.#floor.claim();
        this.#emit({ type: "connection", state: "connecting", transport: this.#way });
        const outcome = await this.#connect();
        if (!(await this.#goesOn(outcome))) return;
      }
    } finally {
      off();
      deaf();
      this.#floor.leave();
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
    if (isSignIn(outcome.error?.code) && (await this.#renewed(outcome.error))) return !this.#closed;
    if (outcome.kind !== "lost") {
      const { message, code } = outcome.error ?? { message: "The run cannot be read.", code: "cursor-ahead" };
      this.#emit({ type: "error", content: message, code, fatal: true });
      return false;
    }
    const switched = this.#auto && outcome.blocked && (await this.#considerFallback(outcome));
    const most = this.#auto && outcome.blocked ? this.#health.doubtMs : Infinity;
    const delayMs = switched ? 0 : (outcome.delayMs ?? Math.min(most, this.#backoff()));
    this.#emit({ type: "connection", state: "waiting", transport: this.#way, delayMs, reason: outcome.reason });
    await this.#pause(delayMs);
    return true;
  }

  /** Another token is waited for. */
  #signedOut = () => this.#emit({ type: "connection", state: "waiting", transport: this.#way, reason: "unauthorized" });

  /** The token has ended, or was refused. @returns {Promise<boolean>} whether there is another one to go on with */
  async #renewed(error) {
    const abort = new AbortController();
    this.#interrupt = (outcome) => outcome.kind === "closed" && abort.abort();
    const how = { signal: abort.signal, onRefused: this.#signedOut };
    const renewed = await this.#api.renewed(error, this.#token, how).catch(() => false);
    this.#interrupt = null;
    if (renewed) await this.#pause(this.#backoff());
    return renewed || this.#closed;
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
   * @param {Outcome} outcome
   * @returns {Promise<boolean>} whether the other way is to be tried at once
   */
  async #considerFallback({ reason }) {
    if (this.#transport === "sse") {
      this.#transport = "ws";
      return false;
    }
    if (!this.#health.ended(reason === "handshake")) return false;
    const answers = await this.#api.version().then(
      () => true,
      () => false,
    );
    if (answers) {
      this.#transport = "sse";
      this.#health.block();
    }
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

  /** Another tab has taken the floor: what is known by name can be read without a stream. */
  #makeRoom() {
    if (this.#transport !== "sse" || this.#polls || this.#floor.held || this.#cursor.run === null) return;
    this.#interrupt?.({ kind: "lost", delayMs: 0, reason: "moved" });
  }

  #woken(why) {
    if (this.#transport === "sse" && why === "visible") this.#floor.take();
    if (why === "online") this.#health.doubt();
    this.#failures = 0;
    this.#interrupt?.({ kind: "lost", delayMs: 0, reason: why }, why);
  }

  /** One connection, from the ticket to its end. @returns {Promise<Outcome>} */
  async #connect() {
    let ticket = "";
    this.#token = this.#env.token();
    if (this.#transport === "ws") {
      const abort = new AbortController();
      this.#interrupt = () => abort.abort();
      const asked = this.#env.now();
      try {
        ({ ticket } = await this.#api.ticket(this.#sessionId, { signal: abort.signal, onRefused: this.#signedOut }));
      } catch (error) {
        return this.#closed ? { kind: "closed" } : outcomeOfError(error);
      } finally {
        this.#roundTrip = this.#env.now() - asked;
        this.#token = this.#env.token(); // Another one may have come while the ticket was waited for.
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
    const limit = this.#auto ? this.#health.limit(HANDSHAKE_MS, this.#roundTrip) : HANDSHAKE_MS;
    const begin = () => within(this.#transport === "ws" ? limit : SILENCE_MS, "handshake");
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
      if (frame.seq === 1) this.#makeRoom();
      if (this.#auto && this.#transport === "sse" && frame.seq !== undefined) {
        this.#health.probe(this.#api, { sessionId: this.#sessionId, run: frame.run, after: frame.seq });
      }
      const event = toEvent(frame);
      if (event) this.#emit(event);
      return event?.type === "ws-exit" ? finish({ kind: "done" }) : undefined;
    };
    begin();
    const where = { sessionId: this.#sessionId, ticket, start: this.#start, cursor: this.#cursor };
    const connection = dial(this.#way, env, { ...where, moves: () => this.#floor.claim() }, {
      onOpen: () => {
        begin();
        this.#emit({ type: "connection", state: "open", transport: this.#way });
        if (this.#cursor.run === null) connection.send(JSON.stringify({ type: "start", ...this.#start }));
      },
      onLife: alive,
      onMessage: (data) => {
        spoke = true;
        if (this.#transport === "ws") this.#health.passed();
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
      onEnd: (end) => finish(end.moved ? { kind: "lost", delayMs: 0, reason: "moved" } : outcomeOfEnd({ ...end, spoke }, told)),
    });
    this.#interrupt = (outcome, why) => {
      if (why !== "visible" || env.now() - lastLife > DOUBT_MS) finish(outcome);
    };
  }

  /** The next frame is missing or no frame: read again from the cursor, at once, but not for ever. @returns {Outcome} */
  #spoil(reason) {
    this.#spoilt += 1;
    if (this.#spoilt < MAX_SPOILT) return { kind: "lost", delayMs: this.#spoilt === 1 ? 0 : undefined, reason };
    const message = `Frame ${this.#cursor.seq + 1} of this run cannot be had any more.`;
    return { kind: "fatal", error: { message, code: "frames-missing" } };
  }
}
