/** Prompts that were sent and that the gateway has not confirmed yet: kept over a reload, so that it loses none. */

import { tab } from "../shared/storage.js";

const KEY = "vaporforge.outbox.";

/** @typedef {{messageId: string, prompt: string, mode: "agent" | "plan"}} Letter */

export class Outbox {
  #key;

  /** @param {string} sessionId */
  constructor(sessionId) {
    this.#key = KEY + sessionId;
  }

  /** @returns {Letter[]} oldest first */
  get letters() {
    return JSON.parse(tab.get(this.#key) ?? "[]");
  }

  /** @param {Letter} letter */
  put(letter) {
    this.#save([...this.letters, letter]);
  }

  /** The gateway has it, or will never take it. Twice is fine. @param {string | null} messageId */
  drop(messageId) {
    const letters = this.letters;
    if (letters.some((letter) => letter.messageId === messageId)) {
      this.#save(letters.filter((letter) => letter.messageId !== messageId));
    }
  }

  #save(letters) {
    if (letters.length) tab.set(this.#key, JSON.stringify(letters));
    else tab.remove(this.#key);
  }
}
