/** The runs of a session that this page follows, a stream for each, and those that wait; what is on can be stopped. */

import { Follower } from "./followed-run.js";

/**
 * What becomes of runs, for whoever reads and shows their session.
 *
 * @typedef {object} Hooks
 * @property {() => void} changed
 * @property {(error: Error) => void} onProblem  with something that the reader asked for
 * @property {(turn: object) => void} onSettled  the gateway has a prompt that was sent, or will never take it
 * @property {(run: string) => void} onBegun
 * @property {(run: string | null) => void} onOver  the run is followed no more; null: there was none
 * @property {() => void} onBehind  another run is on than was thought
 * @property {() => void} onLeft  a run that waits is followed no more; what is being read may not know of it yet
 * @property {() => Promise<void>} onStopped  a run that nobody follows was stopped: only reading tells its end
 */

export class Runs {
  #client;
  #transcript;
  #session;
  #hooks;
  #followers = new Set();
  /** Turns of prompts that wait and that nobody follows here: other pages' ones, and those left to be read. */
  #queued = new Set();
  #closed = false;

  /**
   * @param {ReturnType<import("../client/client.js").createClient>} client
   * @param {import("../transcript/transcript.js").Transcript} transcript
   * @param {string} session  its id
   * @param {Hooks} hooks
   */
  constructor(client, transcript, session, hooks) {
    this.#client = client;
    this.#transcript = transcript;
    this.#session = session;
    this.#hooks = hooks;
  }

  /** The follower whose run is on, or is about to be. @returns {Follower | undefined} */
  get active() {
    return [...this.#followers].find(({ waiting }) => !waiting);
  }

  /** Those that wait, first come first. @returns {{turn: object, position: number}[]} */
  get waiting() {
    const own = [...this.#followers].filter(({ waiting }) => waiting);
    const others = [...this.#queued].map((turn) => ({ turn, position: 0 }));
    return [...own, ...others].sort((a, b) => (a.position || Infinity) - (b.position || Infinity));
  }

  /** Whether none is followed. */
  get idle() {
    return this.#followers.size === 0;
  }

  /** @param {import("../transcript/turn.js").Turn} turn @returns {Follower | undefined} */
  of(turn) {
    return [...this.#followers].find((one) => one.turn === turn);
  }

  /** Whether a turn's run waits: it is not shown yet. @param {import("../transcript/turn.js").Turn} turn */
  waits(turn) {
    return this.#queued.has(turn) || Boolean(this.of(turn)?.waiting);
  }

  /**
   * Sends a prompt and follows the run that it becomes.
   *
   * @param {import("../transcript/turn.js").Turn} turn
   * @param {object} request  of `streamWs`
   * @param {(follower: Follower) => Promise<void>} ready  settles when it is to be sent
   */
  start(turn, request, ready) {
    this.#follow(turn, request, { waiting: this.#closed || Boolean(this.active), ready });
  }

  /** Follows a run that is on, from its start, unless it is followed already. @param {string} run */
  attach(run) {
    if ([...this.#followers].some((one) => one.turn.run === run)) return;
    const turn = this.#transcript.find({ run }) ?? this.#transcript.add({ run });
    if (turn.finished) return;
    turn.reset(); // All of it comes again, whatever came before a break.
    this.#unqueue(turn);
    this.#follow(turn, { run, after: 0 }, { waiting: false });
  }

  /** A run that waits and that nobody follows was read. @param {import("../transcript/turn.js").Turn} turn */
  queue(turn) {
    this.#queued.add(turn);
  }

  /** Shows those that wait no more. @param {Set<string>} queue  the runs that wait, as just read */
  unqueueAllBut(queue) {
    for (const turn of this.#queued) {
      if (!queue.has(turn.run)) this.#unqueue(turn);
    }
  }

  /** Stops the run that is on; the text so far stays. */
  async stop() {
    const follower = this.active;
    if (!follower || follower.stopping) return;
    follower.stopping = true;
    this.#hooks.changed();
    await this.#stopWhenKnown(follower);
  }

  /** Twice is fine. @param {import("../transcript/turn.js").Turn} turn  of a run that waits, or of a prompt that may become one */
  async cancel(turn) {
    const follower = this.of(turn);
    if (follower) {
      follower.stopping = true;
      // What was sent may become a run yet: its stop is asked for once its name is known.
      if (!turn.run && !follower.sent) follower.abort.abort();
      await this.#stopWhenKnown(follower);
    } else if (turn.run) {
      await this.#askStop(turn.run);
    }
  }

  /** A turn's run is known by now: does what was asked of it before. @param {import("../transcript/turn.js").Turn} turn */
  named(turn) {
    const follower = this.of(turn);
    if (follower) this.#stopWhenKnown(follower);
  }

  /** Lets go of everything but prompts that the gateway has not confirmed yet; runs go on without this page. */
  close() {
    this.#closed = true;
    for (const { turn, abort } of this.#followers) {
      if (turn.run) abort.abort();
    }
  }

  /** Asks for the stop that a reader wants, once, as soon as the run's name is known, whoever learned it. */
  async #stopWhenKnown(follower) {
    const { run } = follower.turn;
    if (!run || !follower.stopping || follower.stopAsked) return;
    follower.stopAsked = true;
    await this.#askStop(run, follower);
  }

  async #askStop(run, follower) {
    try {
      await this.#client.api.stop(this.#session, run);
      if (!follower) await this.#hooks.onStopped();
    } catch (error) {
      if (follower) follower.stopping = follower.stopAsked = false;
      this.#hooks.onProblem(error);
    }
    this.#hooks.changed();
  }

  async #follow(turn, request, { waiting, ready }) {
    const follower = new Follower(turn, waiting);
    const { signal } = follower.abort;
    this.#followers.add(follower);
    if (!waiting) this.#begin(follower);
    this.#hooks.changed();
    try {
      await ready?.(follower);
      follower.sent = !signal.aborted;
      for await (const event of this.#client.streamWs({ sessionId: this.#session, signal, ...request })) {
        this.#take(follower, event);
      }
    } catch (error) {
      console.error(error);
      this.#breakOff(follower);
    } finally {
      this.#followers.delete(follower);
      follower.settle();
      this.#over(follower);
    }
  }

  /** What came cannot be shown; the run itself goes on, and nothing attaches to it here again. */
  #breakOff(follower) {
    if (this.#closed) return;
    if (follower.waiting) this.#begin(follower);
    follower.turn.breakOff("This answer cannot be shown to its end. Reload the page to see what is recorded.");
  }

  #begin(follower) {
    this.#transcript.show(follower.turn);
    follower.begin();
  }

  #take(follower, event) {
    const { turn } = follower;
    turn.run ??= event.run ?? null;
    if (!follower.settled && (turn.run || event.fatal)) {
      follower.settle();
      // A refusal that nobody was here to see comes again when the session is opened again.
      if (turn.run || !this.#closed) this.#hooks.onSettled(turn);
    }
    this.#stopWhenKnown(follower);
    if (this.#closed) {
      if (follower.settled) follower.abort.abort();
      return;
    }
    if (event.phase === "queued") this.#wait(follower);
    if (follower.waiting && (event.seq === 1 || event.fatal)) this.#begin(follower);
    if (event.seq === 1) this.#hooks.onBegun(turn.run);
    follower.take(event);
    if (event.fatal) {
      const prompt = turn.run ? "" : turn.prompt;
      this.#hooks.onProblem(Object.assign(new Error(event.content), { code: event.code, told: true, prompt }));
    }
    this.#hooks.changed();
  }

  /** The run waits; when it was not expected to, another tab was faster, and its run is the one to show. */
  #wait(follower) {
    const { turn, abort, connection } = follower;
    if (!follower.waiting) {
      follower.waiting = true;
      this.#transcript.hide(turn);
      this.#hooks.onBehind();
    }
    // Server-sent events hold one of a browser's few connections each: a run that waits is left to be read.
    if (turn.run && connection.transport === "sse") {
      this.#queued.add(turn);
      this.#hooks.onLeft();
      abort.abort();
    }
  }

  #unqueue(turn) {
    this.#queued.delete(turn);
    this.#transcript.show(turn);
  }

  #over({ turn, waiting }) {
    if (this.#closed) return;
    if (waiting && !turn.run) this.#transcript.remove(turn);
    turn.live = false;
    this.#hooks.onOver(turn.run);
    this.#hooks.changed();
  }
}
