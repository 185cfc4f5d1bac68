/** One open session: its history, what becomes of its runs, and what other tabs do. */

import { Poller } from "../shared/poller.js";
import { tab } from "../shared/storage.js";
import { DEFAULT_TITLE, titleOf } from "../shared/titles.js";
import { readConsistent, unchanged } from "./consistent-read.js";
import { Runs } from "./runs.js";
import { Sender } from "./sender.js";

const PAGE = 40;
const PLACE = "place.";
const POLL_MS = 2000;
/** After a run's end the next one is promoted within this. */
const SOON_MS = 300;

export class Chat {
  /** The session as last read; null until then. */
  session = null;
  #client;
  #transcript;
  #changed;
  #onSession;
  #onProblem;
  #onLooked;
  #onMode;
  #runs;
  #sender;
  #cursor = null;
  #closed = new AbortController();
  #poller = null;
  /** Counts what this page does to the session's name: what was read before is older. */
  #names = 0;
  /** Counts reads of the session; what was asked for before the last one that was shown is older, and not shown. */
  #asked = 0;
  #shown = 0;
  /** Whether the session and the messages that are shown were of one moment. */
  #consistent = false;

  /**
   * @param {ReturnType<import("../client/client.js").createClient>} client
   * @param {import("../transcript/transcript.js").Transcript} transcript
   * @param {string} id
   * @param {object} hooks
   * @param {() => void} hooks.changed
   * @param {(session: object) => void} hooks.onSession
   * @param {(error: Error) => void} hooks.onProblem  with something that the reader asked for
   * @param {(mode: "agent" | "plan") => void} hooks.onMode  in which the last prompt was asked, once it is known
   * @param {(error: Error | null) => void} hooks.onLooked  how the last look at the gateway went
   */
  constructor(client, transcript, id, { changed, onSession, onProblem, onLooked, onMode }) {
    this.id = id;
    this.#client = client;
    this.#transcript = transcript;
    this.#changed = changed;
    this.#onSession = onSession;
    this.#onProblem = onProblem;
    this.#onLooked = onLooked;
    this.#onMode = onMode;
    this.#runs = new Runs(client, transcript, id, {
      changed,
      onProblem,
      onSettled: (turn) => this.#sender.settled(turn),
      onBegun: (run) => this.#begun(run),
      onOver: (run) => this.#over(run),
      onBehind: () => this.#look(),
      onLeft: () => this.#outdate(),
      onStopped: () => this.#refresh(),
    });
    this.#sender = new Sender(id, transcript, this.#runs, { changed, onFirst: (prompt) => this.#name(prompt) });
  }

  /** The followed run that is on, or is about to be. @returns {import("./followed-run.js").FollowedRun | undefined} */
  get active() {
    return this.#runs.active;
  }

  /** Prompts that wait, first come first. @returns {{turn: object, position: number}[]} */
  get waiting() {
    return [...this.#runs.waiting, ...this.#sender.held];
  }

  /** Whether a prompt is still only here. */
  get unsent() {
    return Boolean(this.active?.unsent) || this.waiting.some(({ unsent }) => unsent);
  }

  /** The session is gone: its prompts that were never sent. @returns {string[]} */
  takeBack() {
    return this.#sender.takeBack();
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
    this.keepPlace();
    this.#closed.abort();
    this.#poller?.close();
    this.#runs.close();
    if (!this.session) this.#sender.flush();
  }

  /** Sends a prompt, at once or when the session has been read. @param {string} prompt @param {"agent" | "plan"} mode */
  send(prompt, mode) {
    this.#sender.send(prompt, mode);
  }

  /** Stops the run that is on; the text so far stays. */
  stop() {
    return this.#runs.stop();
  }

  /** Twice is fine. @param {import("../transcript/turn.js").Turn} turn  one that waits */
  cancel(turn) {
    return this.#sender.cancel(turn);
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

  /** Lets the sandbox reach one more host, or takes that back. Rejects with an `ApiError`. @param {string} host @param {boolean} allow */
  async allowHost(host, allow) {
    const { api } = this.#client;
    const { egressHosts } = await (allow ? api.allowHost(this.id, host) : api.disallowHost(this.id, host));
    this.#learn({ ...this.session, egressHosts });
  }

  /** Deletes the files of the session; its messages stay. Rejects with an `ApiError`. */
  async emptyFiles() {
    await this.#client.api.emptyFiles(this.id);
  }

  /** The reader gave the session another name. @param {{title: string, updatedAt: string}} session  with it */
  renamed({ title, updatedAt }) {
    this.#names += 1;
    if (!this.session) return;
    const used = updatedAt > this.session.updatedAt ? updatedAt : this.session.updatedAt;
    this.#learn({ ...this.session, title, updatedAt: used }); // Told with an older time it would lose its place in the list.
  }

  /** The first prompt names the session. */
  #name(prompt) {
    if (!this.session || this.session.title !== DEFAULT_TITLE) return;
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
    const read = await readConsistent(this.#client.api, this.id, { limit: PAGE, signal, session: known });
    if (signal.aborted || asked < this.#shown) return;
    const { session, page, consistent } = read;
    const first = !this.session;
    this.#shown = asked;
    this.#consistent = consistent;
    if (first || this.#transcript.empty) this.#cursor = page.cursor;
    const queued = new Set(session.queue);
    for (const message of page.messages.reverse()) this.#place(message, { queued });
    this.#runs.unqueueAllBut(queued);
    for (const turn of consistent ? this.#transcript.turns : []) {
      const expected = turn.run === session.activeRun || queued.has(turn.run) || this.#runs.of(turn);
      // Its run is over and left no message: it was cancelled while it waited.
      if (turn.unanswered && !expected) turn.end("stopped");
    }
    this.#learn(names === this.#names ? session : { ...session, title: this.session.title });
    if (session.activeRun) this.#runs.attach(session.activeRun, this.#begunAt(page.messages, session.activeRun));
    if (first) this.#transcript.goTo(JSON.parse(tab.get(PLACE + this.id) ?? "null"));
    if (first) {
      const mode = this.#sender.lastMode ?? page.messages.findLast(({ role }) => role === "user")?.meta?.mode;
      if (mode) this.#onMode(mode);
      this.#sender.flush();
    }
    this.#changed();
  }

  /** Remembers where the reader is, for when the session is opened again in this tab. */
  keepPlace() {
    const place = this.session && this.#transcript.place;
    if (place) tab.set(PLACE + this.id, JSON.stringify(place));
    else if (this.session) tab.remove(PLACE + this.id);
  }

  /** When a run began: with its prompt, or with the end of the answer that it waited for. @returns {number | undefined} */
  #begunAt(messages, run) {
    const asked = messages.find((message) => message.run === run && message.role === "user");
    if (!asked) return undefined;
    const answered = messages.filter(({ role }) => role === "assistant").map(({ createdAt }) => createdAt);
    const begun = this.#client.api.here([asked.createdAt, ...answered].sort().at(-1));
    return Number.isFinite(begun) ? begun : undefined;
  }

  /** Shows a recorded message, once, whatever is known of its run already. */
  #place(message, { queued = new Set(), first = false } = {}) {
    const { id, role, run } = message;
    const own = role === "user" ? { messageId: id } : { answerId: id }; // What no run wrote has its id only.
    let turn = this.#transcript.find({ run, ...own });
    const fresh = !turn;
    turn ??= this.#transcript.add({ run, first, ...own });
    turn.run ??= run;
    this.#runs.named(turn);
    if (role === "user") {
      turn.messageId ??= id;
      if (!turn.prompt) turn.setUser(message.content, message.meta?.mode);
      if (fresh && queued.has(run)) {
        this.#runs.queue(turn);
        return;
      }
    } else if (!this.#runs.of(turn) && !turn.live && !turn.finished) {
      // What is followed comes frame by frame, be it late: filled as well it would be shown twice.
      turn.fill(message);
    } else if (turn.finished) {
      turn.counted(message.meta);
    }
    if (!this.#runs.waits(turn)) this.#transcript.show(turn, { first });
  }

  /** What is being read is older than what this page knows, and is not to be shown. */
  #outdate() {
    this.#shown = ++this.#asked;
  }

  /** The list of sessions learns that a run is on, without asking. */
  #begun(run) {
    if (!this.session) return;
    const updatedAt = new Date(this.#client.api.now()).toISOString();
    this.#learn({ ...this.session, activeRun: run, updatedAt });
  }

  #over(run) {
    if (run && this.session?.activeRun === run) this.#learn({ ...this.session, activeRun: this.active?.turn.run ?? null });
    this.#poller?.within(SOON_MS);
  }

  /** Looks for what other tabs did, unless a run of this session is followed already. Never rejects. */
  async #look() {
    if (this.active) return;
    const { signal } = this.#closed;
    try {
      const before = this.session;
      const session = await this.#client.api.getSession(this.id, { signal });
      if (!this.#consistent || !unchanged(before, session)) await this.#refresh(session);
      if (!signal.aborted) this.#onLooked(null);
    } catch (error) {
      if (!signal.aborted) this.#onLooked(error);
    }
  }
}
