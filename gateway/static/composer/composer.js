/** Where prompts are written: grows with its text, keeps a draft for each session, sends on Enter. */

import { byId } from "../shared/dom.js";
import { tab } from "../shared/storage.js";

const MAX_CHARS = 100_000;
const DRAFT = "vaporforge.draft.";
/** Keys on glass: Enter is the only way to a new line there, and the button is near. */
const TOUCH = globalThis.matchMedia?.("(pointer: coarse)");

export class Composer {
  #prompt = byId("prompt");
  #send = byId("send");
  #form = byId("composer");
  #session = "";
  /** Whether a prompt is being handed over. */
  #busy = false;

  /**
   * @param {(prompt: string, mode: string) => Promise<boolean>} onSend  tells whether the prompt was taken; until then it
   *   stays here
   * @param {(message: string) => void} onTooLong
   */
  constructor(onSend, onTooLong) {
    this.#prompt.addEventListener("input", () => {
      tab.set(DRAFT + this.#session, this.#prompt.value.slice(0, MAX_CHARS));
      this.#fit();
    });
    this.#prompt.addEventListener("keydown", (event) => {
      // While an input method composes, Enter chooses a character.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      if (TOUCH?.matches && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const prompt = this.#prompt.value.trim();
      if (!prompt) return;
      if ([...prompt].length > MAX_CHARS) {
        onTooLong(`The prompt is longer than ${MAX_CHARS.toLocaleString()} characters. Put the rest into a file.`);
        return;
      }
      this.#handOver(prompt, onSend);
    });
    const setKey = () => {
      this.#prompt.enterKeyHint = TOUCH?.matches ? "enter" : "send";
    };
    TOUCH?.addEventListener("change", setKey);
    setKey();
  }

  async #handOver(prompt, onSend) {
    if (this.#busy) return;
    this.#busy = true;
    const session = this.#session;
    try {
      if (!(await onSend(prompt, new FormData(this.#form).get("mode")))) return;
      tab.remove(DRAFT + session);
      if (this.#session === session && this.#prompt.value.trim() === prompt) this.fill("");
    } finally {
      this.#busy = false;
    }
  }

  /** The session whose draft is shown. @param {string} id */
  show(id) {
    this.#session = id;
    this.#prompt.value = tab.get(DRAFT + id) ?? "";
    this.#fit();
  }

  /** @param {string} text */
  fill(text) {
    this.#prompt.value = text;
    if (text) tab.set(DRAFT + this.#session, text);
    else tab.remove(DRAFT + this.#session);
    this.#fit();
  }

  /** Puts a prompt that was not taken before what has been written since. @param {string} text */
  giveBack(text) {
    this.fill([text, this.#prompt.value.trim()].filter(Boolean).join("\n\n"));
  }

  get empty() {
    return this.#prompt.value.trim() === "";
  }

  focus() {
    this.#prompt.focus();
  }

  #fit() {
    this.#send.disabled = this.empty;
    this.#prompt.style.height = "auto";
    this.#prompt.style.height = `${this.#prompt.scrollHeight}px`;
  }
}
