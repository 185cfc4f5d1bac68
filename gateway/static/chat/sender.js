/** The prompts of a session on their way: kept until the gateway has them, sent in the order of typing, cancelled. */

import { newId } from "../client/client.js";
import { Outbox } from "./outbox.js";

export class Sender {
  #transcript;
  #runs;
  #changed;
  #onFirst;
  #outbox;
  /** Turns of prompts that were typed before `flush`. */
  #held = new Set();
  #flushed = false;
  /** Settles once the gateway has the last prompt that was sent, so that it admits them in their order. */
  #admission = Promise.resolve();

  /**
   * @param {string} session  its id
   * @param {import("../transcript/transcript.js").Transcript} transcript
   * @param {import("./runs.js").Runs} runs
   * @param {object} hooks
   * @param {() => void} hooks.changed
   * @param {(prompt: string) => void} hooks.onFirst  a prompt is about to be sent, and no run is followed
   */
  constructor(session, transcript, runs, { changed, onFirst }) {
    this.#outbox = new Outbox(session);
    this.#transcript = transcript;
    this.#runs = runs;
    this.#changed = changed;
    this.#onFirst = onFirst;
  }

  /** Prompts that wait for `flush`, first come first. @returns {{turn: object, position: number, unsent: boolean}[]} */
  get held() {
    return [...this.#held].map((turn) => ({ turn, position: 0, unsent: true }));
  }

  /** Sends a prompt, at once or with `flush`. @param {string} prompt @param {"agent" | "plan"} mode */
  send(prompt, mode) {
    const entry = { messageId: newId(), prompt, mode };
    this.#outbox.put(entry);
    if (this.#flushed) {
      this.#post(entry);
    } else {
      const turn = this.#transcript.add(entry);
      turn.setUser(prompt, mode);
      this.#held.add(turn);
      this.#changed();
    }
    this.#transcript.follow();
  }

  /** Sends what this tab has not sent for sure, typed before now or before a reload; from now on prompts go at once. */
  flush() {
    this.#flushed = true;
    for (const entry of this.#outbox.entries) {
      if (this.#transcript.find(entry)?.run) this.#outbox.drop(entry.messageId);
      else this.#post(entry);
    }
  }

  /** The mode of the last prompt on its way, if there is one. @returns {"agent" | "plan" | undefined} */
  get lastMode() {
    return this.#outbox.entries.at(-1)?.mode;
  }

  /** The session takes them no more: what the gateway never got. @returns {string[]} the prompts */
  takeBack() {
    const prompts = this.#outbox.entries.map(({ prompt }) => prompt);
    for (const { messageId } of this.#outbox.entries) this.#outbox.drop(messageId);
    return prompts;
  }

  /** Twice is fine. @param {import("../transcript/turn.js").Turn} turn  one that waits */
  async cancel(turn) {
    this.#outbox.drop(turn.messageId);
    if (this.#held.delete(turn)) this.#transcript.remove(turn);
    else await this.#runs.cancel(turn);
    this.#changed();
  }

  /** The gateway has a prompt, or will never take it. @param {import("../transcript/turn.js").Turn} turn  the prompt's */
  settled({ messageId }) {
    this.#outbox.drop(messageId);
  }

  /** Sent twice it is still one, by its messageId. @param {import("./outbox.js").Entry} entry */
  #post(entry) {
    const { messageId, prompt, mode } = entry;
    if (this.#runs.idle) this.#onFirst(prompt);
    const turn = this.#transcript.find(entry) ?? this.#transcript.add(entry);
    turn.setUser(prompt, mode);
    this.#held.delete(turn);
    this.#runs.start(turn, { prompt, mode, messageId, onBusy: "queue" }, (followed) => this.#turnToSend(followed));
  }

  /** Waits until the gateway has what was sent before, or this prompt is cancelled. */
  async #turnToSend({ admission, abort: { signal } }) {
    const before = this.#admission;
    this.#admission = Promise.all([before, admission]);
    await Promise.race([before, new Promise((resolve) => signal.addEventListener("abort", resolve))]);
  }
}
