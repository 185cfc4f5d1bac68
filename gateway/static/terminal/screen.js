/** One terminal on the screen: xterm.js at a terminal's stream, with its size, links, search, clipboard and colours. */

import { TerminalStream } from "../client/terminal-stream.js";
import { element } from "../shared/dom.js";
import { isApple } from "../shared/keys.js";
import { FitAddon } from "../vendor/xterm-fit.js";
import { SearchAddon } from "../vendor/xterm-search.js";
import { WebLinksAddon } from "../vendor/xterm-web-links.js";
import { WebglAddon } from "../vendor/xterm-webgl.js";
import { Terminal } from "../vendor/xterm.js";
import { withSheets } from "./adopted-styles.js";
import { coloursNow, onColours } from "./colours.js";
import { keyMeans } from "./keys.js";

const SCROLLBACK = 5000;
/** What the agent server takes. */
const MOST_CELLS = 500;
const TITLE_CHARS = 60;

const bytesOf = new TextEncoder();

export class Screen {
  element = element("div", { className: "terminal-screen" });
  #terminal;
  #fit = new FitAddon();
  #search = new SearchAddon();
  #stream;
  #hooks;
  #sizes;
  #forget;
  #isOpen = false;
  #name;

  /**
   * @param {ReturnType<typeof import("../client/client.js").createClient>} client
   * @param {{sessionId: string, terminal: string}} where
   * @param {string} name  for who cannot see it
   * @param {object} hooks
   * @param {(state: string, detail?: object) => void} hooks.onState  of the connection
   * @param {(title: string) => void} hooks.onTitle  what the shell calls itself
   * @param {() => void} hooks.onLeave  a key leads out of it
   * @param {() => void} hooks.onFind  a key asks for the search
   * @param {() => void} hooks.onCopy  a key copies what is selected
   */
  constructor(client, where, name, hooks) {
    this.#hooks = hooks;
    this.#name = name;
    const terminal = (this.#terminal = new Terminal({
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono").trim(),
      fontSize: 13,
      scrollback: SCROLLBACK,
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      minimumContrastRatio: 4.5,
      theme: coloursNow(),
    }));
    terminal.loadAddon(this.#fit);
    terminal.loadAddon(this.#search);
    terminal.loadAddon(new WebLinksAddon((_event, uri) => void window.open(uri, "_blank", "noopener,noreferrer")));
    terminal.attachCustomKeyEventHandler((event) => this.#onKey(event));
    terminal.onTitleChange((title) => hooks.onTitle(title.slice(0, TITLE_CHARS)));
    terminal.onData((text) => this.#type(bytesOf.encode(text)));
    terminal.onBinary((text) => this.#type(Uint8Array.from(text, (one) => one.charCodeAt(0))));
    terminal.onResize(({ cols, rows }) => this.#stream.resize(Math.min(cols, MOST_CELLS), Math.min(rows, MOST_CELLS)));
    this.#forget = onColours(() => {
      terminal.options.theme = coloursNow();
    });
    // The page's own keys mean nothing in here: Escape stops no run.
    this.element.addEventListener("keydown", (event) => event.stopPropagation());
    const listener = {
      onBegin: (told) => this.#begin(told),
      onOutput: (bytes, cursor) => terminal.write(bytes, () => this.#stream.ack(cursor)),
      onSize: ({ cols, rows }) => terminal.resize(cols, rows),
      onState: (state, detail) => {
        terminal.options.disableStdin = state === "exited" || state === "gone" || state === "failed";
        hooks.onState(state, detail);
      },
    };
    this.#stream = client.connect((env, api) => new TerminalStream(env, api, where, listener));
    this.#sizes = new ResizeObserver(() => this.#fitSoon());
  }

  /** What is selected. */
  get selection() {
    return this.#terminal.getSelection();
  }

  /** Shows it, its element being in the document. @param {{focus: boolean}} how */
  show({ focus }) {
    if (!this.#isOpen) {
      this.#isOpen = true;
      withSheets(() => this.#terminal.open(this.element));
      this.#terminal.textarea.setAttribute("aria-label", this.#name);
      this.#paintByCard();
      this.#sizes.observe(this.element);
    }
    this.#fitSoon();
    if (focus) this.focus();
  }

  focus() {
    this.#terminal.focus();
  }

  /** Types what a key would. @param {string} text */
  press(text) {
    this.#terminal.input(text, true);
  }

  /** @param {string} text @param {boolean} backwards @returns {boolean} whether it is there */
  find(text, backwards) {
    if (!text) return false;
    return backwards ? this.#search.findPrevious(text) : this.#search.findNext(text);
  }

  /** Connects now. */
  retry() {
    this.#stream.retry();
  }

  /** Lets go of it; the shell goes on. */
  close() {
    this.#sizes.disconnect();
    this.#forget();
    this.#stream.close();
    this.#terminal.dispose();
    this.element.remove();
  }

  /** Where the graphics card cannot, elements do. */
  #paintByCard() {
    try {
      const webgl = new WebglAddon();
      webgl.onContextLoss(() => withSheets(() => webgl.dispose()));
      this.#terminal.loadAddon(webgl);
    } catch {
      // It is painted with elements.
    }
  }

  #begin({ missed, anew }) {
    if (!missed && !anew) return;
    this.#terminal.reset();
    if (missed) this.#stream.redraw(); // Who paints the whole screen is asked to do so.
  }

  #type(bytes) {
    if (!this.#stream.type(bytes)) this.#hooks.onState("full");
  }

  #fitSoon() {
    requestAnimationFrame(() => {
      if (this.element.isConnected && this.element.clientWidth > 0) this.#fit.fit();
    });
  }

  #onKey(event) {
    const means = keyMeans(event, isApple());
    if (!means) return true;
    if (means === "copy" && !this.selection) return false;
    if (means === "paste") return false; // The browser pastes, and xterm takes it from there.
    event.preventDefault();
    if (event.type !== "keydown") return false;
    if (means === "leave") this.#hooks.onLeave();
    else if (means === "find") this.#hooks.onFind();
    else this.#hooks.onCopy();
    return false;
  }
}
