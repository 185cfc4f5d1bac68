/** The runs of a session that this page follows, a stream for each, and those that wait; what is on can be stopped. */

import { FollowedRun } from "./followed-run.js";

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
  #followed = new Set();
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

  /** The followed run that is on, or is about to be. @returns {FollowedRun | undefined} */
  get active() {
    return [...this.#followed].find(({ waiting }) => !waiting);
  }

  /** Those that wait, first come first. @returns {{turn: object, position: number}[]} */
  get waiting() {
    const own = [...this.#followed].filter(({ waiting }) => waiting);
    const others = [...this.#queued].map((turn) => ({ turn, position: 0 }));
    return [...own, ...others].sort((a, b) => (a.position || Infinity) - (b.position || Infinity));
  }

  /** Whether none is followed. */
  get idle() {
    return this.#followed.size === 0;
  }

  /** @param {import("../transcript/turn.js").Turn} turn @returns {FollowedRun | undefined} */
  of(turn) {
    return [...this.#followed].find((one) => one.turn === turn);
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
   * @param {(followed: FollowedRun) => Promise<void>} ready  settles when it is to be sent
   */
  start(turn, request, ready) {
    this.#follow(turn, request, { waiting: this.#closed || Boolean(this.active), ready });
  }

  /**
   * Follows a run that is on, from its start, unless it is followed already.
   *
   * @param {string} run @param {number} [since]  when it began, as far as is known, in epoch ms
   */
  attach(run, since) {
    if ([...this.#followed].some((one) => one.turn.run === run)) return;
    const turn = this.#transcript.find({ run }) ?? this.#transcript.add({ run });
    if (turn.finished) return;
    turn.reset(); // All of it comes again, whatever came before a break.
    this.#unqueue(turn);
    this.#follow(turn, { run, after: 0 }, { waiting: false, since });
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
    const followed = this.active;
    if (!followed || followed.stopping) return;
    followed.stopping = true;
    this.#hooks.changed();
    await this.#stopWhenKnown(followed);
  }

  /** Twice is fine. @param {import("../transcript/turn.js").Turn} turn  of a run that waits, or of a prompt that may become one */
  async cancel(turn) {
    const followed = this.of(turn);
    if (followed) {
      followed.stopping = true;
      // What was sent may become a run yet: its stop is asked for once its name is known.
      if (!turn.run && !followed.sent) followed.abort.abort();
      await this.#stopWhenKnown(followed);
    } else if (turn.run) {
      await this.#askStop(turn.run);
    }
  }

  /** A turn's run is known by now: does what was asked of it before. @param {import("../transcript/turn.js").Turn} turn */
  named(turn) {
    const followed = this.of(turn);
    if (followed) this.#stopWhenKnown(followed);
  }

  /** Lets go of everything but prompts that the gateway has not confirmed yet; runs go on without this page. */
  close() {
    this.#closed = true;
    for (const { turn, abort } of this.#followed) {
      if (turn.run) abort.abort();
    }
  }

  /** Asks for the stop that a reader wants, once, as soon as the run's name is known, whoever learned it. */
  async #stopWhenKnown(followed) {
    const { run } = followed.turn;
    if (!run || !followed.stopping || followed.stopAsked) return;
    followed.stopAsked = true;
    await this.#askStop(run, followed);
  }

  async #askStop(run, followed) {
    try {
      await this.#client.api.stop(this.#session, run);
      if (!followed) await this.#hooks.onStopped();
    } catch (error) {
      if (followed) followed.stopping = followed.stopAsked = false;
      this.#hooks.onProblem(error);
    }
    this.#hooks.changed();
  }

  async #follow(turn, request, { waiting, since, ready }) {
    const followed = new FollowedRun(turn, waiting);
    const { signal } = followed.abort;
    this.#followed.add(followed);
    if (!waiting) this.#begin(followed, since);
    this.#hooks.changed();
    try {
      await ready?.(followed);
      followed.sent = !signal.aborted;
      for await (const event of this.#client.streamWs({ sessionId: this.#session, signal, ...request })) {
        this.#take(followed, event);
      }
    } catch (error) {
      console.error(error);
      this.#breakOff(followed);
    } finally {
      this.#followed.delete(followed);
      followed.settle();
      this.#over(followed);
    }
  }

  /** What came cannot be shown; the run itself goes on, and nothing attaches to it here again. */
  #breakOff(followed) {
    if (this.#closed) return;
    if (followed.waiting) this.#begin(followed);
    followed.turn.breakOff("This answer cannot be shown to its end. Reload the page to see what is recorded.");
  }

  #begin(followed, since) {
    this.#transcript.show(followed.turn);
    followed.begin(since);
  }

  #take(followed, event) {
    const { turn } = followed;
    turn.run ??= event.run ?? null;
    if (!followed.settled && (turn.run || event.fatal)) {
      followed.settle();
      // A refusal that nobody was here to see comes again when the session is opened again.
      if (turn.run || !this.#closed) this.#hooks.onSettled(turn);
    }
    this.#stopWhenKnown(followed);
    if (this.#closed) {
      if (followed.settled) followed.abort.abort();
      return;
    }
    if (event.phase === "queued") this.#wait(followed);
    if (followed.waiting && (event.seq === 1 || event.fatal)) this.#begin(followed);
    if (event.seq === 1) this.#hooks.onBegun(turn.run);
    followed.take(event);
    if (event.fatal) {
      const prompt = turn.run ? "" : turn.prompt;
      this.#hooks.onProblem(Object.assign(new Error(event.content), { code: event.code, told: true, prompt }));
    }
    this.#hooks.changed();
  }

  /** The run waits; when it was not expected to, another tab was faster, and its run is the one to show. */
  #wait(followed) {
    const { turn, abort, connection } = followed;
    if (!followed.waiting) {
      followed.waiting = true;
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
