/** Markdown as models write it, to tokens and to HTML: within bounds of depth and time, and without a DOM. */

import { Lexer, Marked, Tokenizer } from "../vendor/marked.js";

/** Deeper than this, what is nested is shown as text: parser and browser would run out of stack. */
const MAX_DEPTH = 24;
/** What one text may cost, and what each of its characters adds; what is left then is shown as text. */
const MAX_MS = 250;
const MAX_MS_A_CHARACTER = 0.0025;
/**
 * Characters looked at, each again at every step that it stands before. Below this no text is given up: a clock alone
 * would give up any on a computer that is busy.
 */
const ENOUGH_WORK = 30_000_000;
const ENOUGH_WORK_A_CHARACTER = 500;

const PLAIN_TAGS = /&#60;(\/?(?:b|br|del|details|em|i|ins|kbd|mark|s|strong|sub|summary|sup|u))\s*\/?&#62;/gi;

/** Marks of Chinese, Japanese and Korean text: no spaces stand beside them, so they say nothing of where a word ends. */
const CJK_MARK = "[\\u3001-\\u3003\\u3008-\\u3020\\u3030\\u303d\\u30fb\\ufe30-\\ufe4f\\uff01-\\uff0f\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff65“”‘’…—]";
const CJK_LETTER = "[\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}]";
const MARK_IN_URL = /[\u3000-\u3003\u3008-\u3020\ufe30-\ufe4f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65“”‘’]/;

/** TeX between `\(` and `\)`, or between dollars that touch it and are no prices or variables. */
const INLINE_TEX = /^(?:\\\((?:[^\n\\]|\\(?!\)).)*\\\)|\$(?![\s$])(?:[^$\n`\\]|\\.)*(?<![\s\\])\$(?![\p{L}\p{N}]))/u;
/** TeX on lines of its own, without an empty one. */
const BLOCK_TEX = /^ {0,3}(?:\$\$(?:(?!\$\$|\n[ \t]*\n)[^])+\$\$|\\\[(?:(?!\\\]|\n[ \t]*\n)[^])+\\\])[ \t]*(?:\n+|$)/;

const dialect = new Marked({ gfm: true });
dialect.use({
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
  tokenizer: {
    // The first that is asked at each step, of blocks and of what is in them.
    space(source) {
      return this.lexer.isLate(source) ? asCode(source) : false;
    },
    escape(source) {
      return this.lexer.isLate(source) ? asText(source) : false;
    },
    /** One tilde is `about` or a home folder. */
    del(source) {
      return source.startsWith("~~") ? false : undefined;
    },
    url(source) {
      const end = /^[^\s<]*/.exec(source)[0].search(MARK_IN_URL);
      // What stands behind such a mark is no part of the address; the rest is lexed by itself.
      return end > 0 ? Tokenizer.prototype.url.call(this, source.slice(0, end)) : false;
    },
  },
  extensions: [
    {
      name: "tex",
      level: "inline",
      start: (source) => {
        const found = source.search(/\\\(|\$/);
        return found < 0 ? undefined : found;
      },
      tokenizer(source, tokens) {
        const found = INLINE_TEX.exec(source)?.[0];
        if (!found) return undefined;
        // A dollar right behind a letter or a digit is no opening one.
        return found.startsWith("$") && /[\p{L}\p{N}]$/u.test(tokens.at(-1)?.raw ?? "")
          ? undefined
          : { type: "tex", raw: found };
      },
      renderer: ({ raw }) => escapeHtml(raw),
    },
    {
      name: "blockTex",
      level: "block",
      start: (source) => {
        const found = /\n {0,3}(?:\$\$|\\\[)/.exec(source);
        return found ? found.index + 1 : undefined;
      },
      tokenizer(source) {
        const found = BLOCK_TEX.exec(source)?.[0];
        return found ? { type: "blockTex", raw: found } : undefined;
      },
      renderer: ({ raw }) => `<pre><code class="language-math">${escapeHtml(raw.trim())}\n</code></pre>`,
    },
  ],
});

const asText = (source) => ({ type: "text", raw: source, text: source, escaped: false });
const asCode = (source) => ({ type: "code", raw: source, text: source });

function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Emphasis whose marks stand beside Chinese, Japanese or Korean, which has no spaces to tell left from right. */
function withCjk(rules) {
  const marksAsLetters = (source) =>
    source
      .replaceAll("[^\\s\\p{P}\\p{S}]", `(?:${CJK_MARK}|[^\\s\\p{P}\\p{S}])`)
      .replaceAll(/(?<!\^)\[(\\s)?\\p\{P\}\\p\{S\}\]/g, `(?!${CJK_MARK})[$1\\p{P}\\p{S}]`);
  return {
    ...rules,
    punctuation: new RegExp(`${rules.punctuation.source}|^${CJK_LETTER}|^${CJK_MARK}`, "u"),
    emStrongLDelim: new RegExp(marksAsLetters(rules.emStrongLDelim.source), "u"),
    emStrongRDelimAst: new RegExp(
      marksAsLetters(rules.emStrongRDelimAst.source).replace("(\\*+)(?=[\\s]|$)", `(\\*+)(?=[\\s]|${CJK_LETTER}|$)`),
      "gu",
    ),
  };
}

const INLINE_RULES = withCjk(new Lexer(dialect.defaults).tokenizer.rules.inline);

class BoundedLexer extends Lexer {
  #depth = 0;
  #work = 0;
  #enough;
  #until;

  /** @param {number} length  of what is to be lexed */
  constructor(length) {
    super(dialect.defaults);
    this.#enough = ENOUGH_WORK + length * ENOUGH_WORK_A_CHARACTER;
    this.#until = performance.now() + MAX_MS + length * MAX_MS_A_CHARACTER;
    this.tokenizer.rules = { ...this.tokenizer.rules, inline: INLINE_RULES };
  }

  /** Whether the text has cost too much by now. @param {string} source  what a step stands before */
  isLate(source) {
    this.#work += source.length;
    return this.#work > this.#enough && performance.now() > this.#until;
  }

  blockTokens(source, tokens = [], ...more) {
    return this.#within(tokens, source, asCode, () => super.blockTokens(source, tokens, ...more));
  }

  inlineTokens(source, tokens = []) {
    return this.#within(tokens, source, asText, () => super.inlineTokens(source, tokens));
  }

  #within(tokens, source, instead, read) {
    if (this.#depth >= MAX_DEPTH || this.isLate(source)) {
      if (source) tokens.push(instead(source));
      return tokens;
    }
    this.#depth += 1;
    try {
      return read();
    } finally {
      this.#depth -= 1;
    }
  }
}

/** @param {string} source  with `\n` line ends @returns {object[]} its blocks */
export function lex(source) {
  return new BoundedLexer(source.length).lex(source);
}

/** @param {object[]} tokens of `lex` @returns {string} HTML that is still to be sanitised */
export function toHtml(tokens) {
  return dialect.parser(tokens);
}

/**
 * Of a text that grows, how much of its beginning cannot change any more: what is before its last block, or before the
 * last but one while the first line of the last is not whole (`2` may become `2. more`, and go on with a list). HTML
 * that spans blocks, links that are defined later and TeX that is still open may change it yet, at the text's end.
 *
 * @param {string} source @param {object[]} tokens  its blocks
 * @returns {number} of tokens
 */
export function settledBlocks(source, tokens) {
  let at = 0;
  const starts = tokens.map(({ raw }) => (at += raw.length) - raw.length);
  if (at !== source.length) return 0;
  const isBlock = ({ type }) => type !== "space";
  const last = tokens.findLastIndex(isBlock);
  if (last > 0 && starts[last] > source.lastIndexOf("\n")) return Math.max(tokens.slice(0, last).findLastIndex(isBlock), 0);
  return Math.max(last, 0);
}
