/** Prompts that were sent and that the gateway has not confirmed yet: kept over a reload, so that it loses none. */

import { tab } from "../shared/storage.js";

const KEY = "vaporforge.outbox.";

/** @typedef {{messageId: string, prompt: string, mode: "agent" | "plan"}} Entry */

export class Outbox {
  #key;

  /** @param {string} sessionId */
  constructor(sessionId) {
    this.#key = KEY + sessionId;
  }

  /** @returns {Entry[]} oldest first */
  get entries() {
    return JSON.parse(tab.get(this.#key) ?? "[]");
  }

  /** @param {Entry} entry */
  put(entry) {
    this.#save([...this.entries, entry]);
  }

  /** The gateway has it, or will never take it. Twice is fine. @param {string | null} messageId */
  drop(messageId) {
    const entries = this.entries;
    if (entries.some((entry) => entry.messageId === messageId)) {
      this.#save(entries.filter((entry) => entry.messageId !== messageId));
    }
  }

  #save(entries) {
    if (entries.length) tab.set(this.#key, JSON.stringify(entries));
    else tab.remove(this.#key);
  }
}
