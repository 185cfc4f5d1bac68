/** Where prompts are written: grows with its text, keeps a draft for each session, sends on Enter. */

import { byId } from "../shared/dom.js";
import { choose, chosenMode, draftOf, keepDraft, keepLastMode, lastMode } from "../shared/drafts.js";
import { enterMeans, isApple, onGlass } from "../shared/keys.js";
import { wellFormed } from "../shared/titles.js";

const MAX_CHARS = 100_000;

/** @param {string} text  as typed @returns {string} without the empty lines around it; its first line may be indented code */
export const promptOf = (text) => wellFormed(text).replace(/^(?:[^\S\n]*\n)+/, "").trimEnd();

export class Composer {
  #prompt = byId("prompt");
  #send = byId("send");
  #form = byId("composer");
  #session = "";
  /** Whether a prompt is being handed over. */
  #busy = false;
  /** Whether Enter alone begins a line. */
  #glass = false;

  /**
   * @param {(prompt: string, mode: string) => Promise<boolean>} onSend  tells whether the prompt was taken; until then it
   *   stays here
   * @param {(message: string) => void} onTooLong
   */
  constructor(onSend, onTooLong) {
    this.#prompt.addEventListener("input", () => {
      keepDraft(this.#session, this.#prompt.value);
      this.#fit();
    });
    this.#prompt.addEventListener("keydown", (event) => {
      const means = enterMeans(event, this.#glass);
      if (!means) return;
      event.preventDefault();
      if (means === "send") this.#form.requestSubmit();
      else document.execCommand("insertText", false, "\n"); // As typed: it can be undone.
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const prompt = promptOf(this.#prompt.value);
      if (!prompt) return;
      if ([...prompt].length > MAX_CHARS) {
        onTooLong(`The prompt is longer than ${MAX_CHARS.toLocaleString()} characters. Put the rest into a file.`);
        return;
      }
      this.#handOver(prompt, onSend);
    });
    for (const choice of this.#form.elements.mode) {
      choice.addEventListener("change", () => choose(this.#session, choice.value));
    }
    onGlass((glass) => this.#tellKeys(glass));
  }

  /** What is said of the keys is what they do. */
  #tellKeys(glass) {
    this.#glass = glass;
    const send = glass ? `${isApple() ? "⌘" : "Ctrl"} Enter` : "Enter";
    this.#prompt.enterKeyHint = glass ? "enter" : "send";
    this.#send.title = `Send (${send})`;
    byId("key-send").textContent = send;
    byId("key-line").textContent = glass ? "Enter" : "Shift Enter";
  }

  async #handOver(prompt, onSend) {
    if (this.#busy) return;
    this.#busy = true;
    const session = this.#session;
    try {
      if (!(await onSend(prompt, this.mode))) return;
      keepDraft(session, "");
      choose(session, ""); // The prompt has it now.
      if (this.#session === session && promptOf(this.#prompt.value) === prompt) this.fill("");
    } finally {
      this.#busy = false;
    }
  }

  /** The session whose draft is shown. @param {string} id */
  show(id) {
    this.#session = id;
    this.#prompt.value = draftOf(id);
    this.#form.elements.mode.value = chosenMode(id) || lastMode(id) || "agent";
    this.#fit();
  }

  /** How the agent may act on the next prompt: as chosen here, else as on the session's last one. */
  get mode() {
    return this.#form.elements.mode.value;
  }

  /** @param {"agent" | "plan"} mode  of the session's last prompt; what was chosen since stays */
  suggestMode(mode) {
    keepLastMode(this.#session, mode);
    if (!chosenMode(this.#session)) this.#form.elements.mode.value = mode;
  }

  /** @param {string} text */
  fill(text) {
    this.#prompt.value = text;
    keepDraft(this.#session, text);
    this.#fit();
  }

  /** Names a file at the end of what is written for a session, open or not. @param {string} session @param {string} name */
  mention(session, name) {
    const before = (session === this.#session ? this.#prompt.value : draftOf(session)).trimEnd();
    const text = `${before}${before ? "\n" : ""}\`${name}\` `;
    if (session === this.#session) this.fill(text);
    else keepDraft(session, text);
  }

  /** Puts a prompt that was not taken before what has been written since. @param {string} text */
  giveBack(text) {
    this.fill([text, promptOf(this.#prompt.value)].filter(Boolean).join("\n\n"));
  }

  /** The prompt as written so far. */
  get text() {
    return promptOf(this.#prompt.value);
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
