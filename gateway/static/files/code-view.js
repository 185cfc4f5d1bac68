/** A text with line numbers, of which only the lines in sight are in the page: a million of them cost what fifty do. */

import { element } from "../shared/dom.js";
import { languageOf, linesOf, MOST_COLOURED } from "./code-lines.js";

const LINE_PX = 20;
const BEYOND = 30;
/** In the page at once, whatever its height says: the style sheet may not have come. */
const MOST_ROWS = 400;
/** Of a line; the rest is told. */
const MOST_CHARS = 5000;
/** Browsers end an element at some 33 million pixels. */
const MOST_LINES = 1_500_000;

export class CodeView {
  #lines;
  #coloured = null;
  #rows = element("div", { className: "code-rows" });
  #marked = 0;
  #shown = "";
  #watch;

  /** @param {string} text @param {string} name  of its file */
  constructor(text, name) {
    this.#lines = text.split("\n");
    if (this.#lines.length > 1 && this.#lines.at(-1) === "") this.#lines.pop();
    const count = Math.min(this.#lines.length, MOST_LINES);
    const longest = this.#lines.reduce((most, line) => Math.max(most, line.length), 0);
    const sheet = element("div", { className: "code-sheet" }, this.#rows);
    sheet.style.setProperty("height", `${count * LINE_PX}px`);
    sheet.style.setProperty("min-width", `${Math.min(longest, MOST_CHARS) + String(count).length + 6}ch`);
    this.#rows.style.setProperty("--digits", String(count).length);
    this.element = element("div", { className: "code-view", tabIndex: 0, role: "region", dir: "ltr", data: { testid: "code" }, aria: { label: `Contents of ${name}, ${this.#lines.length} lines` } }, sheet);
    this.element.addEventListener("scroll", () => this.#show(), { passive: true });
    this.#watch = new ResizeObserver(() => this.#show());
    this.#watch.observe(this.element);
    if (text.length <= MOST_COLOURED) this.#colour(text, name);
  }

  close() {
    this.#watch.disconnect();
  }

  /** Shows a line in the middle, and marks it. @param {number} line  from 1 */
  goTo(line) {
    this.#marked = line;
    this.element.scrollTop = (line - 1) * LINE_PX - this.element.clientHeight / 2;
    this.#shown = "";
    this.#show();
  }

  async #colour(text, name) {
    const language = languageOf(name);
    if (!language) return;
    const { default: highlighter } = await import("../vendor/highlight.js").catch(() => ({}));
    if (!highlighter?.getLanguage(language)) return;
    this.#coloured = linesOf(highlighter.highlight(text, { language, ignoreIllegals: true }).value);
    this.#shown = "";
    this.#show();
  }

  #show() {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / LINE_PX) - BEYOND);
    const last = Math.min(this.#lines.length, MOST_LINES, first + MOST_ROWS, Math.ceil((scrollTop + clientHeight) / LINE_PX) + BEYOND);
    if (this.#shown === `${first}-${last}`) return;
    this.#shown = `${first}-${last}`;
    this.#rows.style.setProperty("transform", `translateY(${first * LINE_PX}px)`);
    const rows = [];
    for (let at = first; at < last; at += 1) rows.push(this.#row(at));
    this.#rows.replaceChildren(...rows);
  }

  #row(at) {
    const text = this.#lines[at];
    const pieces = this.#coloured?.[at] && text.length <= MOST_CHARS ? this.#coloured[at] : [{ text: text.slice(0, MOST_CHARS), kind: "" }];
    const marked = at + 1 === this.#marked;
    return element(
      "div",
      { className: marked ? "code-row marked" : "code-row", ...(marked ? { aria: { current: "location" } } : {}) },
      element("span", { className: "code-number", aria: { hidden: "true" } }, String(at + 1)),
      ...pieces.map(({ text: piece, kind }) => (kind ? element("span", { className: kind }, piece) : piece)),
      text.length > MOST_CHARS ? element("i", {}, ` … ${text.length - MOST_CHARS} more characters`) : null,
    );
  }
}
