/** Prompts that the gateway has not confirmed yet: they outlive tab and browser, so that none is lost with them. */

import { own } from "../shared/storage.js";

/** @typedef {{messageId: string, prompt: string, mode: "agent" | "plan"}} Entry */

export class Outbox {
  #key;

  /** @param {string} sessionId */
  constructor(sessionId) {
    this.#key = `${sessionId}.outbox`;
  }

  /** @returns {Entry[]} oldest first */
  get entries() {
    return JSON.parse(own.get(this.#key) ?? "[]");
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
    if (entries.length) own.set(this.#key, JSON.stringify(entries));
    else own.remove(this.#key);
  }
}
