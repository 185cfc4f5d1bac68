/** One open session: its history, the runs that this page follows, the prompts that wait, and what other tabs do. */

import { newId } from "./client.js";
import { Follower } from "./follower.js";
import { Outbox } from "./outbox.js";
import { Poller } from "./poller.js";
import { readWhole, unchanged } from "./snapshot.js";
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
  #onLooked;
  #followers = new Set();
  /** Turns of prompts that wait and that nobody follows here: other pages' ones, and those left to the poller. */
  #queued = new Set();
  /** Turns of prompts that were typed before the session was read. */
  #early = new Set();
  #cursor = null;
  #closed = new AbortController();
  #poller = null;
  #outbox;
  /** Settles once the gateway has the last prompt that was typed: they are admitted in the order of typing. */
  #admission = Promise.resolve();
  /** Counts what this page does to the session's name: what was read before is older. */
  #names = 0;
  /** Counts reads of the session; what was asked for before the last one that was shown is older, and not shown. */
  #asked = 0;
  #shown = 0;
  /** Whether the session and the messages that are shown were of one moment. */
  #whole = false;

  /**
   * @param {ReturnType<import("./client.js").createClient>} client
   * @param {import("./transcript.js").Transcript} transcript
   * @param {string} id
   * @param {object} hooks
   * @param {() => void} hooks.changed
   * @param {(session: object) => void} hooks.onSession
   * @param {(error: Error) => void} hooks.onProblem  with something that the reader asked for
   * @param {(error: Error | null) => void} hooks.onLooked  how the last look at the gateway went
   */
  constructor(client, transcript, id, { changed, onSession, onProblem, onLooked }) {
    this.id = id;
    this.#outbox = new Outbox(id);
    this.#client = client;
    this.#transcript = transcript;
    this.#changed = changed;
    this.#onSession = onSession;
    this.#onProblem = onProblem;
    this.#onLooked = onLooked;
  }

  /** The follower whose run is on, or is about to be. @returns {Follower | undefined} */
  get active() {
    return [...this.#followers].find(({ waiting }) => !waiting);
  }

  /** Prompts that wait, first come first. @returns {{turn: object, position: number}[]} */
  get waiting() {
    const own = [...this.#followers].filter(({ waiting }) => waiting);
    const others = [...this.#queued, ...this.#early].map((turn) => ({ turn, position: 0 }));
    return [...own, ...others].sort((a, b) => (a.position || Infinity) - (b.position || Infinity));
  }

  get hasEarlier() {
    return this.#cursor !== null;
  }

  /** Shows the session as soon as it can be read, and keeps looking at it until it is closed. Never rejects. */
  async open() {
    await this.#look();
    if (!this.#closed.signal.aborted) this.#poller = new Poller(() => this.#look(), POLL_MS);
  }

  /** Lets go of everything but prompts that the gateway has not confirmed yet; runs go on without this page. */
  close() {
    if (!this.session) this.#postAll();
    this.#closed.abort();
    this.#poller?.close();
    for (const { turn, abort } of this.#followers) {
      if (turn.run) abort.abort();
    }
  }

  /** Sends a prompt, at once or when the session has been read. @param {string} prompt @param {"agent" | "plan"} mode */
  send(prompt, mode) {
    const letter = { messageId: newId(), prompt, mode };
    this.#outbox.put(letter);
    if (this.session) {
      this.#post(letter);
    } else {
      const turn = this.#transcript.add(letter);
      turn.setUser(prompt);
      this.#early.add(turn);
      this.#changed();
    }
    this.#transcript.follow();
  }

  /** Stops the run that is on; the text so far stays. */
  async stop() {
    const follower = this.active;
    if (!follower || follower.stopping) return;
    follower.stopping = true;
    this.#changed();
    await this.#stopWhenKnown(follower);
  }

  /** Twice is fine. @param {import("./turn.js").Turn} turn  one that waits */
  async cancel(turn) {
    this.#outbox.drop(turn.messageId);
    const follower = this.#followerOf(turn);
    if (follower) {
      follower.stopping = true;
      // What was sent may become a run yet: its stop is asked for once its name is known.
      if (!turn.run && !follower.sent) follower.abort.abort();
      await this.#stopWhenKnown(follower);
    } else if (turn.run) {
      await this.#askStop(turn.run);
    } else if (this.#early.delete(turn)) {
      this.#transcript.remove(turn);
    }
    this.#changed();
  }

  /** Loads the page of messages before the first one shown. Rejects with an `ApiError`. */
  async earlier() {
    const { signal } = this.#closed;
    let page;
    try {
      page = await this.#client.api.messages(this.id, { limit: PAGE, order: "newest", cursor: this.#cursor, signal });
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    if (signal.aborted) return;
    this.#cursor = page.cursor;
    this.#transcript.keepingPlace(() => {
      for (const message of page.messages) this.#place(message, { first: true });
    });
    this.#changed();
  }

  #followerOf(turn) {
    return [...this.#followers].find((one) => one.turn === turn);
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
      await this.#client.api.stop(this.id, run);
      if (!follower) await this.#refresh();
    } catch (error) {
      if (follower) follower.stopping = follower.stopAsked = false;
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

  /** Sends what this tab has not sent for sure: typed before the session was read, or before a reload. */
  #postAll() {
    for (const letter of this.#outbox.letters) {
      if (this.#transcript.find(letter)?.run) this.#outbox.drop(letter.messageId);
      else this.#post(letter);
    }
  }

  /** Sends a prompt; sent twice it is still one, by its messageId. @param {import("./outbox.js").Letter} letter */
  #post(letter) {
    const { messageId, prompt, mode } = letter;
    this.#name(prompt);
    const turn = this.#transcript.find(letter) ?? this.#transcript.add(letter);
    turn.setUser(prompt);
    this.#early.delete(turn);
    const waits = !this.session || Boolean(this.active);
    this.#follow(turn, { prompt, mode, messageId, onBusy: "queue" }, waits);
  }

  #learn(session) {
    if (this.#closed.signal.aborted) return;
    this.session = session;
    this.#onSession(session);
  }

  /** Shows what is recorded, and attaches to the run that is on. @param {object} [known]  the session as just read */
  async #refresh(known) {
    const { signal } = this.#closed;
    const names = this.#names;
    const asked = ++this.#asked;
    const read = await readWhole(this.#client.api, this.id, { limit: PAGE, signal, session: known });
    if (signal.aborted || asked < this.#shown) return;
    const { session, page, whole } = read;
    const first = !this.session;
    this.#shown = asked;
    this.#whole = whole;
    if (first || this.#transcript.empty) this.#cursor = page.cursor;
    const queued = new Set(session.queue);
    for (const message of page.messages.reverse()) this.#place(message, { queued });
    for (const turn of this.#queued) {
      if (!queued.has(turn.run)) this.#unqueue(turn);
    }
    for (const turn of whole ? this.#transcript.turns : []) {
      const expected = turn.run === session.activeRun || queued.has(turn.run) || this.#followerOf(turn);
      // Its run is over and left no message: it was cancelled while it waited.
      if (turn.unanswered && !expected) turn.end("stopped");
    }
    this.#learn(names === this.#names ? session : { ...session, title: this.session.title });
    this.#attach(session.activeRun);
    if (first) this.#postAll();
    this.#changed();
  }

  /** Shows a recorded message, once, whatever is known of its run already. */
  #place(message, { queued = new Set(), first = false } = {}) {
    const { id, role, run } = message;
    const own = role === "user" ? { messageId: id } : { answerId: id }; // What no run wrote has its id only.
    let turn = this.#transcript.find({ run, ...own });
    const fresh = !turn;
    turn ??= this.#transcript.add({ run, first, ...own });
    turn.run ??= run;
    const follower = this.#followerOf(turn);
    if (follower) this.#stopWhenKnown(follower);
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
    turn.reset(); // All of it comes again, whatever came before a break.
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
    } catch (error) {
      console.error(error);
      this.#breakOff(follower);
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

  /** What came cannot be shown; the run itself goes on, and nothing attaches to it here again. */
  #breakOff(follower) {
    if (this.#closed.signal.aborted) return;
    if (follower.waiting) this.#begin(follower);
    follower.turn.breakOff("This answer cannot be shown to its end. Reload the page to see what is recorded.");
  }

  #begin(follower) {
    this.#transcript.show(follower.turn);
    follower.begin();
  }

  #take(follower, event) {
    const { turn } = follower;
    const { aborted: closed } = this.#closed.signal;
    turn.run ??= event.run ?? null;
    if (!follower.settled && (turn.run || event.fatal)) {
      follower.settle();
      // A refusal that nobody was here to see comes again when the session is opened again.
      if (turn.run || !closed) this.#outbox.drop(turn.messageId);
    }
    this.#stopWhenKnown(follower);
    if (closed) {
      if (follower.settled) follower.abort.abort();
      return;
    }
    if (event.phase === "queued") {
      if (!follower.waiting) this.#wait(follower);
      if (turn.run && follower.connection.transport === "sse") this.#leave(follower);
    }
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

  /** Server-sent events hold one of a browser's few connections each: a run that waits is left to the poller. */
  #leave({ turn, abort }) {
    this.#shown = ++this.#asked; // What is being read may not know of it yet.
    this.#queued.add(turn);
    abort.abort();
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

  /** Looks for what other tabs did, unless a run of this session is followed already. Never rejects. */
  async #look() {
    if (this.active) return;
    const { signal } = this.#closed;
    try {
      const before = this.session;
      const session = await this.#client.api.getSession(this.id, { signal });
      if (!this.#whole || !unchanged(before, session)) await this.#refresh(session);
      if (!signal.aborted) this.#onLooked(null);
    } catch (error) {
      if (!signal.aborted) this.#onLooked(error);
    }
  }
}
