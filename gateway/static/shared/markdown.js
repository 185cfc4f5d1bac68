/** Markdown to safe DOM, whole or while it grows: only the last block is made again when text arrives. */

import { Marked } from "../vendor/marked.js";
import DOMPurify from "../vendor/purify.js";
import { copyButton, element } from "./dom.js";

const PLAIN_TAGS = /&#60;(\/?(?:b|br|del|details|em|i|ins|kbd|mark|s|strong|sub|summary|sup|u))\s*\/?&#62;/gi;

const marked = new Marked({ gfm: true });
marked.use({
  renderer: {
    // An image would make the reader's browser call a host that the answer's author chose.
    image: ({ href, text }) => `<a href="${escapeHtml(href)}">${escapeHtml(text || href)}</a>`,
    // HTML is shown, not obeyed, but for some tags without attributes: an answer that speaks of <template> means that.
    html: ({ text, block }) => {
      const shown = escapeHtml(text);
      const obeyed = shown.replace(PLAIN_TAGS, "<$1>");
      return block && obeyed === shown ? `<pre><code class="language-html">${shown}</code></pre>` : obeyed;
    },
  },
});

/** The second line of defence: the renderer above lets nothing else through already. */
const ALLOWED = {
  ALLOWED_TAGS: `a abbr b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i input ins kbd li mark ol p
    pre q s samp small span strong sub summary sup table tbody td tfoot th thead tr u ul var`.split(/\s+/),
  ALLOWED_ATTR: ["align", "checked", "class", "colspan", "disabled", "href", "open", "rowspan", "start", "title", "type"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  RETURN_DOM_FRAGMENT: true,
};

/** @param {string} source @returns {DocumentFragment} */
export function renderMarkdown(source) {
  return toFragment(marked.lexer(source));
}

function toFragment(tokens) {
  const fragment = DOMPurify.sanitize(marked.parser(tokens), ALLOWED);
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
  for (const pre of fragment.querySelectorAll("pre")) dressCode(pre);
  for (const table of fragment.querySelectorAll("table")) {
    const scroll = element("div", { className: "table-scroll" });
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
    copyButton("Copy the code", () => code.textContent),
  );
  const block = element("div", { className: "card code-block" });
  pre.replaceWith(block);
  pre.tabIndex = 0;
  block.append(bar, pre);
}

function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/**
 * Text that grows. What is before the last block cannot change any more (but for HTML that spans blocks and links that
 * are defined later, which are put right at the end), so it is rendered once and left alone: selections in it stay.
 */
export class StreamingMarkdown {
  #host;
  #source = "";
  #frozen = 0;
  #tail = [];
  #spansBlocks = false;
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
    this.#source += text.replaceAll("\r", "");
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
    if (this.#spansBlocks) this.#host.replaceChildren(renderMarkdown(this.#source));
    else this.#render();
  }

  #render() {
    const began = performance.now();
    const rest = this.#source.slice(this.#frozen);
    const tokens = marked.lexer(rest);
    this.#spansBlocks ||= tokens.some(({ type }) => type === "html" || type === "def");
    for (const node of this.#tail) node.remove();
    let last = tokens.findLastIndex(({ type }) => type !== "space");
    const whole = tokens.reduce((length, { raw }) => length + raw.length, 0) === rest.length;
    if (!whole || last < 0) last = 0;
    const done = tokens.slice(0, last);
    const open = tokens.slice(last);
    this.#host.append(toFragment(done));
    this.#frozen += done.reduce((length, { raw }) => length + raw.length, 0);
    const fragment = toFragment(open);
    this.#tail = [...fragment.childNodes];
    this.#host.append(fragment);
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
