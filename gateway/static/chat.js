/** One open session: its history, the runs that this page follows, the prompts that wait, and what other tabs do. */

import { newId } from "./client.js";
import { Follower } from "./follower.js";
import { Outbox } from "./outbox.js";
import { Poller } from "./poller.js";
import { titleOf } from "./words.js";

const PAGE = 40;
const POLL_MS = 2000;
/** After a run's end the next one is promoted within this. */
const SOON_MS = 300;
export const DEFAULT_TITLE = "New session";

export class Chat {
  /** The session as last read; null until then. */
  session = null;
  #client;
  #transcript;
  #changed;
  #onSession;
  #onProblem;
  #followers = new Set();
  /** Turns of other pages' prompts that wait. */
  #queued = new Set();
  #cursor = null;
  #closed = new AbortController();
  #poller = null;
  #outbox;
  /** Settles once the gateway has the last prompt that was typed: they are admitted in the order of typing. */
  #admission = Promise.resolve();
  /** Counts what this page does to the session's name: what was read before is older. */
  #names = 0;

  /**
   * @param {ReturnType<import("./client.js").createClient>} client
   * @param {import("./transcript.js").Transcript} transcript
   * @param {string} id
   * @param {{changed: () => void, onSession: (session: object) => void, onProblem: (error: Error | null) => void}} hooks
   */
  constructor(client, transcript, id, { changed, onSession, onProblem }) {
    this.id = id;
    this.#outbox = new Outbox(id);
    this.#client = client;
    this.#transcript = transcript;
    this.#changed = changed;
    this.#onSession = onSession;
    this.#onProblem = onProblem;
  }

  /** The follower whose run is on, or is about to be. @returns {Follower | undefined} */
  get active() {
    return [...this.#followers].find(({ waiting }) => !waiting);
  }

  /** Prompts that wait, first come first. @returns {{turn: object, position: number}[]} */
  get waiting() {
    const own = [...this.#followers].filter(({ waiting }) => waiting);
    const others = [...this.#queued].map((turn) => ({ turn, position: 0 }));
    return [...own, ...others].sort((a, b) => (a.position || Infinity) - (b.position || Infinity));
  }

  get hasEarlier() {
    return this.#cursor !== null;
  }

  /** Reads the session and its newest messages, and attaches to the run that is on. Rejects with an `ApiError`. */
  async open() {
    await this.#refresh();
    if (this.#closed.signal.aborted) return;
    for (const letter of this.#outbox.letters) {
      if (this.#transcript.find(letter)) this.#outbox.drop(letter.messageId);
      else this.#post(letter);
    }
    this.#poller = new Poller(() => this.#look(), POLL_MS);
  }

  /** Lets go of everything; runs go on without this page. */
  close() {
    this.#closed.abort();
    this.#poller?.close();
    for (const { abort } of this.#followers) abort.abort();
  }

  /** @param {string} prompt @param {"agent" | "plan"} mode */
  send(prompt, mode) {
    const letter = { messageId: newId(), prompt, mode };
    this.#outbox.put(letter);
    this.#name(prompt);
    this.#post(letter);
    this.#transcript.follow();
  }

  /** Stops the run that is on; the text so far stays. */
  async stop() {
    const follower = this.active;
    if (!follower || follower.stopping) return;
    follower.stopping = true;
    this.#changed();
    if (follower.turn.run) await this.#askStop(follower.turn.run, follower);
  }

  /** @param {import("./turn.js").Turn} turn  one that waits */
  async cancel(turn) {
    const follower = [...this.#followers].find((one) => one.turn === turn);
    this.#outbox.drop(turn.messageId);
    if (follower) follower.stopping = true;
    if (turn.run) return this.#askStop(turn.run, follower);
    // What was sent may become a run yet: its stop is asked for once its name is known.
    if (!follower.sent) follower.abort.abort();
    return this.#changed();
  }

  /** Loads the page of messages before the first one shown. */
  async earlier() {
    const page = await this.#client.api.messages(this.id, { limit: PAGE, order: "newest", cursor: this.#cursor });
    this.#cursor = page.cursor;
    this.#transcript.keepingPlace(() => {
      for (const message of page.messages) this.#place(message, { first: true });
    });
    this.#changed();
  }

  async #askStop(run, follower) {
    try {
      await this.#client.api.stop(this.id, run);
      if (!follower) await this.#refresh();
    } catch (error) {
      if (follower) follower.stopping = false;
      this.#onProblem(error);
    }
    this.#changed();
  }

  /** The first prompt names the session. */
  #name(prompt) {
    if (!this.session || this.session.title !== DEFAULT_TITLE || this.#followers.size) return;
    const title = titleOf(prompt);
    this.#names += 1;
    this.#learn({ ...this.session, title });
    this.#client.api.renameSession(this.id, title).then(
      (session) => {
        this.#names += 1;
        if (!this.#closed.signal.aborted) this.session = session;
        this.#onSession(session); // The list of sessions shows it, whatever is open by now.
      },
      () => {}, // The next look finds its default name; the reader can give it one.
    );
  }

  /** Sends a prompt; sent twice it is still one, by its messageId. @param {import("./outbox.js").Letter} letter */
  #post({ messageId, prompt, mode }) {
    const turn = this.#transcript.add({ messageId });
    turn.setUser(prompt);
    this.#follow(turn, { prompt, mode, messageId, onBusy: "queue" }, Boolean(this.active));
  }

  #learn(session) {
    if (this.#closed.signal.aborted) return;
    this.session = session;
    this.#onSession(session);
  }

  async #refresh() {
    const { signal } = this.#closed;
    const names = this.#names;
    // In this order: a run that has ended when the session is read has its message when the messages are.
    const session = await this.#client.api.getSession(this.id, { signal });
    const page = await this.#client.api.messages(this.id, { limit: PAGE, order: "newest", signal });
    if (signal.aborted) return;
    if (this.#transcript.empty) this.#cursor = page.cursor;
    const queued = new Set(session.queue);
    for (const message of page.messages.reverse()) this.#place(message, { queued });
    for (const turn of this.#queued) {
      if (!queued.has(turn.run)) this.#unqueue(turn);
    }
    for (const turn of this.#transcript.turns) {
      // Its run is over and left no message: it was cancelled while it waited.
      if (turn.unanswered && turn.run !== session.activeRun && !queued.has(turn.run)) turn.end("stopped");
    }
    this.#learn(names === this.#names ? session : { ...session, title: this.session.title });
    this.#attach(session.activeRun);
    this.#changed();
  }

  /** Shows a recorded message, once, whatever is known of its run already. */
  #place(message, { queued = new Set(), first = false } = {}) {
    const { id, role, run } = message;
    let turn = this.#transcript.find({ run, messageId: role === "user" ? id : null });
    const fresh = !turn;
    turn ??= this.#transcript.add({ run, first });
    turn.run ??= run;
    const follower = [...this.#followers].find((one) => one.turn === turn);
    if (role === "user") {
      turn.messageId ??= id;
      if (!turn.prompt) turn.setUser(message.content);
      if (fresh && queued.has(run)) {
        this.#queued.add(turn);
        return;
      }
    } else if (!follower && !turn.live && !turn.finished) {
      // What is followed comes frame by frame, be it late: filled as well it would be shown twice.
      turn.fill(message);
    }
    const held = this.#queued.has(turn) || follower?.waiting;
    if (!held) this.#transcript.show(turn, { first });
  }

  #unqueue(turn) {
    this.#queued.delete(turn);
    this.#transcript.show(turn);
  }

  /** Follows the run that is on, from its start, unless this page does already. */
  #attach(run) {
    if (!run || [...this.#followers].some((one) => one.turn.run === run)) return;
    const turn = this.#transcript.find({ run }) ?? this.#transcript.add({ run });
    if (turn.finished) return;
    this.#unqueue(turn);
    this.#follow(turn, { run, after: 0 }, false);
  }

  async #follow(turn, request, waiting) {
    const follower = new Follower(turn, waiting);
    this.#followers.add(follower);
    if (!waiting) this.#begin(follower);
    this.#changed();
    try {
      if (!request.run) await this.#turnToSend(follower);
      const stream = this.#client.streamWs({ sessionId: this.id, signal: follower.abort.signal, ...request });
      for await (const event of stream) this.#take(follower, event);
    } finally {
      this.#followers.delete(follower);
      follower.settle();
      this.#over(follower);
    }
  }

  /** Waits until the gateway has what was typed before, or this prompt is cancelled. */
  async #turnToSend(follower) {
    const { signal } = follower.abort;
    const before = this.#admission;
    this.#admission = Promise.all([before, follower.admission]);
    await Promise.race([before, new Promise((resolve) => signal.addEventListener("abort", resolve))]);
    follower.sent = !signal.aborted;
  }

  #begin(follower) {
    this.#transcript.show(follower.turn);
    follower.begin();
  }

  #take(follower, event) {
    const { turn } = follower;
    if (event.run || event.fatal) {
      this.#outbox.drop(turn.messageId);
      follower.settle();
    }
    if (event.run && !turn.run) {
      turn.run = event.run;
      if (follower.stopping) this.#askStop(event.run, follower);
    }
    if (event.phase === "queued" && !follower.waiting) this.#wait(follower);
    if (event.seq === 1) this.#started(follower);
    if (event.fatal && follower.waiting) this.#begin(follower);
    follower.take(event);
    if (event.fatal) {
      const prompt = turn.run ? "" : turn.prompt;
      this.#onProblem(Object.assign(new Error(event.content), { code: event.code, told: true, prompt }));
    }
    this.#changed();
  }

  /** The run waits; when it was not expected to, another tab was faster, and its run is the one to show. */
  #wait(follower) {
    follower.waiting = true;
    this.#transcript.hide(follower.turn);
    this.#look();
  }

  /** The run is on: what was queued is shown, and the list of sessions learns it without asking. */
  #started(follower) {
    if (follower.waiting) this.#begin(follower);
    if (this.session) this.#learn({ ...this.session, activeRun: follower.turn.run, updatedAt: new Date().toISOString() });
  }

  #over({ turn, waiting }) {
    if (this.#closed.signal.aborted) return;
    if (turn.run && this.session?.activeRun === turn.run) this.#learn({ ...this.session, activeRun: null });
    if (waiting && !turn.run) this.#transcript.remove(turn);
    turn.live = false;
    this.#changed();
    this.#poller?.within(SOON_MS);
  }

  /** Looks for what other tabs did, unless a run of this session is followed already. */
  async #look() {
    if (this.active) return;
    const { signal } = this.#closed;
    try {
      const before = this.session;
      const session = await this.#client.api.getSession(this.id, { signal });
      this.#onProblem(null);
      const same =
        before?.updatedAt === session.updatedAt &&
        before.activeRun === session.activeRun &&
        before.queue.join() === session.queue.join();
      if (!same) await this.#refresh();
    } catch (error) {
      if (!signal.aborted) this.#onProblem(error);
    }
  }
}
