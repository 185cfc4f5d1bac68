/** Where prompts are written: grows with its text, keeps a draft for each session, sends on Enter. */

import { byId } from "./dom.js";

const MAX_CHARS = 100_000;
const DRAFT = "vaporforge.draft.";

export class Composer {
  #prompt = byId("prompt");
  #send = byId("send");
  #form = byId("composer");
  #session = "";

  /** @param {(prompt: string, mode: string) => void} onSend @param {(message: string) => void} onTooLong */
  constructor(onSend, onTooLong) {
    this.#prompt.addEventListener("input", () => {
      sessionStorage.setItem(DRAFT + this.#session, this.#prompt.value.slice(0, MAX_CHARS));
      this.#fit();
    });
    this.#prompt.addEventListener("keydown", (event) => {
      // While an input method composes, Enter chooses a character.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
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
      this.fill("");
      onSend(prompt, new FormData(this.#form).get("mode"));
    });
  }

  /** The session whose draft is shown. @param {string} id */
  show(id) {
    this.#session = id;
    this.#prompt.value = sessionStorage.getItem(DRAFT + id) ?? "";
    this.#fit();
  }

  /** @param {string} text */
  fill(text) {
    this.#prompt.value = text;
    if (text) sessionStorage.setItem(DRAFT + this.#session, text);
    else sessionStorage.removeItem(DRAFT + this.#session);
    this.#fit();
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
