/** One prompt and its answer as the reader sees them: fed by the events of a run, or filled from a recorded message. */

import { announce, copyButton, element, icon } from "../shared/dom.js";
import { blockedText, explain, jobsText, lossText, usageText } from "../shared/format.js";
import { renderMarkdown, StreamingMarkdown } from "../shared/markdown.js";
import { asTerminalShows } from "../shared/terminal.js";
import { allowButton } from "./allow-button.js";
import { emptyButton } from "./empty-button.js";
import { ToolCard } from "./tool-card.js";

const ENDINGS = {
  stopped: "Stopped. What was written so far is kept.",
  cancelled: "Stopped before the agent wrote anything.",
  failed: "The agent failed.",
  lost: "The run was lost.",
};

const MODES = { agent: "Agent", plan: "Plan" };

export class Turn {
  /** How the agent may act on the prompt; null where that is not known. */
  mode = null;
  run = null;
  messageId = null;
  /** The id of the recorded answer, when this turn was made for it. */
  answerId = null;
  /** Whether the answer is all there; nothing is attached to it any more. */
  finished = false;
  /** Whether a stream writes into it. */
  live = false;
  #user;
  #answer;
  #body;
  #markdown = null;
  #texts = [];
  #tools = new Map();
  #problem = false;
  /** Hosts that could not be reached, as far as the reader was told. */
  #blocked = new Set();
  #overBudget = false;
  #usage = "";

  constructor() {
    this.#user = element("div", { className: "message user", hidden: true, data: { testid: "message", role: "user" } });
    this.#body = element("div", { className: "answer-body" });
    this.#answer = element(
      "div",
      { className: "message assistant", hidden: true, data: { testid: "message", role: "assistant" } },
      element("h2", { className: "hidden" }, "Agent"),
      this.#body,
    );
    this.root = element("article", { className: "turn" }, this.#user, this.#answer);
  }

  /** Recorded, with a prompt and no answer, and nobody writes one here. */
  get unanswered() {
    return Boolean(this.run && this.prompt) && !this.live && !this.finished;
  }

  get text() {
    return [...this.#texts, this.#markdown?.text ?? ""].filter(Boolean).join("\n\n");
  }

  get prompt() {
    return this.#user.querySelector(".user-text")?.textContent ?? "";
  }

  /** @param {string} text @param {"agent" | "plan"} [mode]  in which it was asked, where that is known */
  setUser(text, mode) {
    this.mode = mode ?? this.mode;
    this.#user.hidden = false;
    const said = MODES[this.mode];
    this.#user.replaceChildren(
      element("h2", { className: "hidden" }, "You"),
      element("p", { className: "user-text", dir: "auto" }, text),
      ...(said ? [element("span", { className: "prompt-mode", data: { testid: "prompt-mode" } }, said)] : []),
    );
  }

  /** Forgets the answer: it comes again from the start. */
  reset() {
    this.#markdown?.finish();
    this.#markdown = null;
    this.#texts = [];
    this.#tools.clear();
    this.#problem = false;
    this.#blocked.clear();
    this.#overBudget = false;
    this.finished = false;
    this.#body.replaceChildren();
    this.#answer.querySelector(".answer-foot")?.remove();
  }

  /** The answer begins: room for it, and a sign that something happens. */
  begin() {
    this.live = true;
    this.#answer.hidden = false;
    this.#answer.setAttribute("aria-busy", "true");
    if (!this.#body.childElementCount) {
      this.#body.append(element("p", { className: "waiting", aria: { hidden: "true" } }, element("i"), element("i"), element("i")));
    }
  }

  /** @param {object} event of `streamWs` */
  apply(event) {
    switch (event.type) {
      case "text":
        return this.#write(event.content);
      case "tool-start":
        return this.#startTool(event, true);
      case "tool-result":
        return this.#tools.get(event.id)?.finish(event.output, event.isError === true);
      case "done":
        if (!this.text && event.fullText) this.#write(String(event.fullText));
        this.#usage = usageText(event.usage, event.costUsd);
        return undefined;
      case "error":
        if (this.#overBudget) return undefined; // What the agent says of a call that was cut says less than why it was.
        this.#overBudget = event.code === "budget-exceeded";
        return this.#noteError(event.content, event.code);
      case "sandbox-lost":
        return this.#note(lossText(event.reason), "error");
      case "session-reset":
        return this.#note("The agent could not take up its earlier conversation and began a new one.", "info");
      case "jobs-ended":
        return this.#note(jobsText(event.jobs), "info");
      case "egress-blocked":
        return this.#noteBlocked(event);
      case "budget":
        return this.#note(asTerminalShows(String(event.text ?? "")), "info");
      case "reset":
        return this.reset();
      case "ws-exit":
        return this.end(event.reason);
      default:
        return undefined;
    }
  }

  /** @param {string} reason  how the run ended */
  end(reason) {
    this.#closeText();
    for (const tool of this.#tools.values()) tool.abandon();
    this.#body.querySelector(".waiting")?.remove();
    this.#answer.removeAttribute("aria-busy");
    if (reason === "stopped") {
      this.#note(this.#body.childElementCount ? ENDINGS.stopped : ENDINGS.cancelled, "info");
    } else if (ENDINGS[reason] && !this.#problem) {
      this.#note(ENDINGS[reason], "error");
    }
    if (this.live) announce(this.text ? `The agent answered: ${this.text.slice(0, 2000)}` : "The run is over.");
    this.live = false;
    this.finished = true;
    this.#foot();
  }

  /** What came cannot be shown: what is shown already stays, and no more is taken. @param {string} why */
  breakOff(why) {
    this.finished = true; // First of all: whatever else fails, nothing is to be attached again.
    if (this.#markdown?.text) this.#texts.push(this.#markdown.text);
    this.#markdown = null;
    this.#note(why, "error");
    this.end();
  }

  /**
   * Never throws: one answer that cannot be shown must not hide those behind it.
   *
   * @param {{content: string, parts: object[], meta: object}} message  the assistant's, as recorded
   */
  fill(message) {
    try {
      this.#fill(message);
    } catch (error) {
      console.error(error);
      this.reset();
      this.#answer.hidden = false;
      this.#body.append(element("p", { className: "as-text", dir: "auto" }, String(message.content ?? "")));
      this.#note("This answer cannot be shown as it was recorded; this is its text.", "error");
      this.end();
    }
  }

  /** What the gateway has counted goes before the agent's own word. @param {object} [meta]  of the recorded answer */
  counted(meta) {
    const usage = usageText(meta?.usage, meta?.costUsd);
    if (!usage) return;
    this.#usage = usage;
    const shown = this.#answer.querySelector(":scope > .answer-foot > span");
    if (shown) shown.textContent = usage;
  }

  #fill({ content, parts, meta }) {
    this.reset();
    this.#answer.hidden = false;
    if (meta?.jobsEnded?.length) this.#note(jobsText(meta.jobsEnded), "info");
    const known = parts.length ? parts : [{ type: "text", text: content }];
    for (const part of known) {
      if (part.type === "tool") {
        this.#startTool(part, false);
        if (part.output !== null && part.output !== undefined) {
          this.#tools.get(part.id).finish(part.output, part.isError === true);
        }
      } else if (part.text) {
        this.#texts.push(part.text);
        const host = element("div", { className: "prose" });
        host.append(renderMarkdown(part.text));
        this.#body.append(host);
      }
    }
    for (const blocked of meta?.egressBlocked ?? []) this.#noteBlocked(blocked);
    for (const text of meta?.budget ?? []) this.#note(asTerminalShows(String(text)), "info");
    if (meta?.error) this.#noteError(String(meta.error.error ?? "The agent failed."), meta.error.code);
    this.#usage = usageText(meta?.usage, meta?.costUsd);
    this.end(meta?.reason);
  }

  #write(text) {
    if (!this.#markdown) {
      this.#body.querySelector(".waiting")?.remove();
      const host = element("div", { className: "prose" });
      this.#body.append(host);
      this.#markdown = new StreamingMarkdown(host);
    }
    this.#markdown.append(text);
  }

  #closeText() {
    if (!this.#markdown) return;
    this.#markdown.finish();
    if (this.#markdown.text) this.#texts.push(this.#markdown.text);
    this.#markdown = null;
  }

  #startTool(call, open) {
    this.#closeText();
    this.#body.querySelector(".waiting")?.remove();
    for (const earlier of this.#tools.values()) earlier.fold();
    const card = new ToolCard(call, { open });
    this.#tools.set(call.id, card);
    this.#body.append(card.root);
  }

  #note(text, kind) {
    this.#closeText();
    this.#answer.hidden = false;
    this.#body.querySelector(".waiting")?.remove();
    if (kind === "error") this.#problem = true;
    const role = kind === "error" && this.live ? "alert" : "note";
    const note = element("p", { className: `turn-note ${kind}` }, icon(kind === "error" ? "alert" : "stop"), element("span", {}, text));
    note.setAttribute("role", role);
    this.#body.append(note);
    return note;
  }

  #noteError(text, code) {
    const note = this.#note(explain(asTerminalShows(text), code), "error");
    if (code === "disk-quota") note.append(emptyButton());
  }

  /** Once a host, though a sandbox may say it more often. @param {{host: string, reason: string, mayAllow: boolean}} blocked */
  #noteBlocked(blocked) {
    if (this.#blocked.has(blocked.host)) return;
    this.#blocked.add(blocked.host);
    const note = this.#note(blockedText(blocked), "info");
    note.dataset.testid = "egress-blocked";
    if (blocked.mayAllow === true) note.append(allowButton(blocked.host));
  }

  #foot() {
    this.#answer.querySelector(".answer-foot")?.remove();
    if (!this.text) return;
    this.#answer.append(
      element(
        "div",
        { className: "answer-foot" },
        copyButton("Copy the answer", () => this.text),
        element("span", {}, this.#usage),
      ),
    );
  }
}
