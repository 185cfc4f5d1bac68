/** Markdown to safe DOM, whole or while it grows: what is shown already stays, with what the reader does to it. */

import DOMPurify from "../vendor/purify.js";
import { copyButton, element } from "./dom.js";
import { fileNamedBy } from "./file-address.js";
import { lex, settledBlocks, toHtml } from "./markdown-dialect.js";
import { patch } from "./patch.js";

const LINE_END = /\r\n?/g;

/** The second line of defence: the renderer above lets nothing else through already. */
const ALLOWED = {
  ALLOWED_TAGS: `a abbr b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i input ins kbd li mark ol p
    pre q s samp small span strong sub summary sup table tbody td tfoot th thead tr u ul var`.split(/\s+/),
  ALLOWED_ATTR: ["align", "checked", "class", "colspan", "disabled", "href", "open", "rowspan", "start", "title", "type"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  // Their values are no addresses, and would be measured as such.
  ADD_URI_SAFE_ATTR: ["align", "colspan", "rowspan", "start", "type"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  RETURN_DOM_FRAGMENT: true,
};

/** Never throws: what cannot be rendered is shown as text. @param {string} source @returns {DocumentFragment} */
export function renderMarkdown(source) {
  const unified = source.replace(LINE_END, "\n");
  return orAsText(unified, () => toFragment(lex(unified)));
}

function orAsText(source, render) {
  try {
    return render();
  } catch (error) {
    console.error(error);
    const fragment = document.createDocumentFragment();
    fragment.append(element("p", { className: "as-text", dir: "auto" }, source));
    return fragment;
  }
}

function toFragment(tokens) {
  const fragment = DOMPurify.sanitize(toHtml(tokens), ALLOWED);
  for (const link of fragment.querySelectorAll("a[href]")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
  for (const input of fragment.querySelectorAll("input")) {
    if (input.type !== "checkbox") input.remove();
    else input.disabled = true;
  }
  for (const styled of fragment.querySelectorAll("[class]")) {
    if (!styled.matches("code") || !/^language-\S+$/.test(styled.className)) styled.removeAttribute("class");
  }
  for (const code of fragment.querySelectorAll("code:not(pre code, a code)")) {
    const href = fileNamedBy(code.textContent);
    if (!href) continue;
    const link = element("a", { className: "file-link", href });
    code.replaceWith(link);
    link.append(code);
  }
  for (const block of fragment.children) block.dir = "auto"; // What is in it goes by its own words, see markdown.css.
  for (const pre of fragment.querySelectorAll("pre")) dressCode(pre);
  for (const table of fragment.querySelectorAll("table")) {
    const scroll = element("div", { className: "table-scroll" });
    scroll.dir = table.dir;
    table.replaceWith(scroll);
    scroll.append(table);
  }
  return fragment;
}

/** A bar with the language and a copy button over a block of code. */
function dressCode(pre) {
  const code = pre.querySelector("code") ?? pre;
  const language = /language-(\S+)/.exec(code.className)?.[1] ?? "";
  const bar = element(
    "div",
    { className: "code-bar" },
    element("span", {}, language),
    copyButton("Copy the code", () => code.textContent.replace(/\n$/, "")), // Pasted into a shell, a last line end would run it.
  );
  const block = element("div", { className: "card code-block", dir: "ltr" });
  pre.removeAttribute("dir");
  pre.replaceWith(block);
  pre.tabIndex = 0;
  block.append(bar, pre);
}

/**
 * Text that grows. Blocks that are settled are left alone; the others are made again and patched into what is there, and
 * at the end the whole is, so that it is what `renderMarkdown` makes of it.
 */
export class StreamingMarkdown {
  #host;
  #source = "";
  /** A carriage return at the end of what came: half a line end, perhaps. */
  #half = "";
  /** How much of the source is settled, and the last node of that. */
  #settled = 0;
  #settledNode = null;
  #scheduled = null;
  #cost = 0;

  /** @param {HTMLElement} host  an empty element of its own */
  constructor(host) {
    this.#host = host;
    host.classList.add("streaming");
  }

  get text() {
    return this.#source;
  }

  /** @param {string} text */
  append(text) {
    const came = this.#half + text;
    this.#half = came.endsWith("\r") ? "\r" : "";
    this.#source += came.slice(0, came.length - this.#half.length).replace(LINE_END, "\n");
    this.#scheduled ??= nextFrame(this.#cost > 12 ? this.#cost * 4 : 0, () => {
      this.#scheduled = null;
      this.#render();
    });
  }

  /** No more text comes. */
  finish() {
    this.#scheduled?.cancel();
    this.#scheduled = null;
    this.#host.classList.remove("streaming");
    if (this.#half) this.#source += "\n";
    this.#half = "";
    patch(this.#host, this.#host.firstChild, renderMarkdown(this.#source));
  }

  #render() {
    const began = performance.now();
    const rest = this.#source.slice(this.#settled);
    let settledLength = 0;
    let settledNodes = 0;
    const fragment = orAsText(rest, () => {
      const tokens = lex(rest);
      const count = settledBlocks(rest, tokens);
      const settled = toFragment(tokens.slice(0, count));
      const open = toFragment(tokens.slice(count));
      settledLength = tokens.slice(0, count).reduce((length, { raw }) => length + raw.length, 0);
      settledNodes = settled.childNodes.length;
      settled.append(open);
      return settled;
    });
    const nodes = patch(this.#host, this.#settledNode ? this.#settledNode.nextSibling : this.#host.firstChild, fragment);
    this.#settled += settledLength;
    if (settledNodes) this.#settledNode = nodes[settledNodes - 1];
    this.#cost = performance.now() - began;
  }
}

/** The next frame, or soon when the tab is hidden and gets no frames. @returns {{cancel: () => void}} */
function nextFrame(atLeastMs, callback) {
  let frame = 0;
  let timer = 0;
  const cancel = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
  const run = () => {
    cancel();
    callback();
  };
  const ask = () => {
    frame = requestAnimationFrame(run);
    timer = setTimeout(run, 250);
  };
  if (atLeastMs > 0) timer = setTimeout(ask, atLeastMs);
  else ask();
  return { cancel };
}
