/** One file: shown, edited, saved; where it was changed meanwhile both versions are there, and the reader says which. */

import { copyButton, element, icon, announce } from "../shared/dom.js";
import { pathOf } from "../shared/file-address.js";
import { explain } from "../shared/format.js";
import { renderMarkdown } from "../shared/markdown.js";
import { own } from "../shared/storage.js";
import { CodeView } from "./code-view.js";
import { folderOf, shownPath, within } from "./file-api.js";

/** Of a text that is shown; of a longer one its beginning is. */
const MOST_SHOWN = 32 * 1024 * 1024;
/** Of one that is edited: a text area holds no more without delay. */
const MOST_EDITED = 1024 * 1024;
const MOST_IMAGE = 32 * 1024 * 1024;
const IMAGES = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif", bmp: "image/bmp", ico: "image/x-icon", svg: "image/svg+xml" };

const suffixOf = (path) => shownPath(path).split("/").at(-1).toLowerCase().split(".").slice(1).at(-1) ?? "";

/** @param {number} bytes @returns {string} */
export function sizeText(bytes) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  const at = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${at ? (bytes / 1000 ** at).toFixed(1) : bytes} ${units[at]}`;
}

/** The text of bytes; null where they are none. @param {Uint8Array} bytes @param {boolean} cut  a character may be cut off at the end */
export function textOf(bytes, cut = false) {
  if (bytes.subarray(0, 8192).includes(0)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: cut });
  } catch {
    return null;
  }
}

export class FileView {
  #files;
  #session;
  #hooks;
  #path = "";
  #known = null;
  #code = null;
  #editor = null;
  #url = "";
  #asked = 0;
  #bar = element("div", { className: "file-bar" });
  #conflict = element("div", { className: "file-conflict", role: "alert", hidden: true, data: { testid: "conflict" } });
  #body = element("div", { className: "file-body" });

  /**
   * @param {import("./file-api.js").FileApi} files @param {string} session
   * @param {{onProblem: (error: Error) => void, onClosed: () => void, onWritten: (path: string) => void, onDownload: (path: string, route: string) => void}} hooks
   */
  constructor(files, session, hooks) {
    this.#files = files;
    this.#session = session;
    this.#hooks = hooks;
    this.element = element("section", { className: "file-view", hidden: true, data: { testid: "file" }, aria: { label: "File" } }, this.#bar, this.#conflict, this.#body);
  }

  get path() {
    return this.#path;
  }

  /** Whether something is written and not saved. */
  get unsaved() {
    return this.#editor !== null && this.#editor.value !== this.#known.text;
  }

  /** @param {string} path @param {number} line  0: none */
  async open(path, line = 0) {
    if (path === this.#path && this.#known && !this.element.hidden) {
      if (line) this.#code?.goTo(line);
      return;
    }
    this.#end();
    this.#path = path;
    this.element.hidden = false;
    await this.#load(line);
  }

  /** Looks whether the file is another version by now; one that is edited is left alone until it is saved. */
  async check() {
    const { etag } = this.#known ?? {};
    if (!etag || this.#editor) return;
    const now = await this.#files.version(this.#path).catch(() => etag);
    if (now !== etag && !this.#editor) await this.#load(0);
  }

  close() {
    this.#end();
    this.element.hidden = true;
    this.#path = "";
  }

  #end() {
    this.#asked += 1;
    this.#code?.close();
    this.#code = this.#editor = this.#known = null;
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = "";
    this.#conflict.hidden = true;
    this.#bar.replaceChildren();
    this.#body.replaceChildren();
  }

  get #key() {
    return `${this.#session}.edit.${this.#path}`;
  }

  async #load(line) {
    this.#asked += 1;
    const asked = this.#asked;
    const path = this.#path;
    this.#showBar();
    const image = IMAGES[suffixOf(path)];
    this.#body.replaceChildren(element("p", { className: "panel-note", role: "status" }, "Loading…"));
    try {
      const found = await this.#files.read(path, image ? MOST_IMAGE : MOST_SHOWN);
      if (asked !== this.#asked) return;
      const cut = found.bytes.length < found.size;
      this.#known = { ...found, cut, text: textOf(found.bytes, cut) };
      this.#code?.close();
      this.#code = null;
      if (image && !cut) this.#showImage(found.bytes, image);
      else if (this.#known.text === null) this.#showBinary();
      else this.#showText(line);
    } catch (error) {
      if (asked !== this.#asked) return;
      this.#body.replaceChildren(element("p", { className: "panel-note", role: "alert" }, explain(error.message, error.code)));
      if (own.get(this.#key)) this.#recover();
    }
  }

  /** The file is gone, and what was written of it is not. */
  #recover() {
    const draft = JSON.parse(own.get(this.#key));
    this.#known = { text: "", etag: draft.etag, size: 0, cut: false };
    this.#edit(draft);
  }

  #showImage(bytes, type) {
    this.#url = URL.createObjectURL(new Blob([bytes], { type }));
    this.#body.replaceChildren(element("img", { className: "file-image", src: this.#url, alt: shownPath(this.#path) }));
    this.#showBar();
  }

  #showBinary() {
    this.#body.replaceChildren(element("p", { className: "panel-note" }, `This is no text: ${sizeText(this.#known.size)}. Download it to look at it.`));
    this.#showBar();
  }

  #showText(line) {
    const { text, size, cut, bytes } = this.#known;
    const draft = own.get(this.#key);
    if (draft && !cut) {
      this.#edit(JSON.parse(draft));
      return;
    }
    this.#code?.close();
    this.#code = new CodeView(text, shownPath(this.#path));
    const note = cut ? element("p", { className: "file-note" }, `The first ${sizeText(bytes.length)} of ${sizeText(size)}.`) : null;
    this.#body.replaceChildren(...(note ? [note] : []), this.#code.element);
    if (line) this.#code.goTo(line);
    this.#showBar();
  }

  #showMarkdown() {
    const shown = element("div", { className: "prose file-prose", tabIndex: 0 }, renderMarkdown(this.#known.text));
    this.#code?.close();
    this.#code = null;
    this.#body.replaceChildren(shown);
    this.#showBar({ rendered: true });
  }

  #showBar({ rendered = false } = {}) {
    const { text = null, size = 0, cut = false } = this.#known ?? {};
    const path = this.#path;
    const markdown = text !== null && /^(md|markdown)$/.test(suffixOf(path));
    const button = (name, action, testid, className = "quiet") => element("button", { type: "button", className, data: { testid }, on: { click: action } }, name);
    const parts = [
      element("button", { type: "button", className: "icon-button", title: "Close the file", aria: { label: "Close the file" }, data: { testid: "file-close" }, on: { click: () => this.#hooks.onClosed() } }, icon("close")),
      element("bdi", { className: "file-name one-line", title: shownPath(path), dir: "ltr" }, shownPath(path)),
    ];
    if (this.#editor) {
      parts.push(button("Discard", () => this.#discard(), "discard"), button("Save", () => this.#save(this.#known.etag), "save", "primary"));
    } else if (this.#known) {
      if (text !== null && !cut) parts.push(copyButton("Copy the contents", () => this.#known?.text ?? ""));
      if (markdown) parts.push(button(rendered ? "Source" : "Rendered", () => (rendered ? this.#showText(0) : this.#showMarkdown()), "rendered"));
      if (text !== null && !cut && size <= MOST_EDITED) parts.push(button("Edit", () => this.#edit(), "edit"));
      parts.push(button("Download", () => this.#hooks.onDownload(path, "file"), "download"));
    }
    this.#bar.replaceChildren(...parts);
  }

  /** @param {{text: string, etag: string}} [draft]  what was written before the page was left */
  #edit(draft) {
    this.#code?.close();
    this.#code = null;
    if (draft) this.#known = { ...this.#known, etag: draft.etag };
    const editor = element("textarea", { className: "file-editor", value: draft?.text ?? this.#known.text, spellcheck: false, autocapitalize: "off", dir: "ltr", wrap: "off", data: { testid: "editor" }, aria: { label: `Contents of ${shownPath(this.#path)}` } });
    let timer = 0;
    const key = this.#key;
    editor.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.#editor === editor && own.set(key, JSON.stringify({ text: editor.value, etag: this.#known.etag })), 300);
    });
    editor.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") {
        event.preventDefault();
        this.#save(this.#known.etag);
      }
    });
    this.#editor = editor;
    this.#body.replaceChildren(editor);
    this.#showBar();
    editor.focus();
    editor.setSelectionRange(0, 0);
  }

  #discard() {
    own.remove(this.#key);
    this.#editor = null;
    this.#conflict.hidden = true;
    this.#load(0);
  }

  /** @param {string | null} etag  of the version that is replaced; null: none may be there */
  async #save(etag) {
    const text = this.#editor.value;
    const path = this.#path;
    own.set(this.#key, JSON.stringify({ text, etag: this.#known.etag }));
    try {
      const { etag: now } = await this.#files.write(path, new Blob([text]), etag);
      if (path !== this.#path) return;
      this.#known = { ...this.#known, text, etag: now };
      if (this.#editor?.value !== text) return; // Something was written meanwhile.
      own.remove(this.#key);
      this.#conflict.hidden = true;
      this.#editor = null;
      announce("Saved.");
      this.#hooks.onWritten(path);
      await this.#load(0);
    } catch (error) {
      if (path !== this.#path) return;
      if (error.code === "changed") await this.#tellConflict(error.etag);
      else this.#hooks.onProblem(error);
    }
  }

  /** @param {string | null} etag  of the version that is there; null: the file is gone */
  async #tellConflict(etag) {
    const theirs = etag === null ? null : await this.#files.read(this.#path, MOST_EDITED).catch(() => null);
    const text = theirs && textOf(theirs.bytes, theirs.bytes.length < theirs.size);
    const button = (name, action, testid) => element("button", { type: "button", className: "secondary", data: { testid }, on: { click: action } }, name);
    const shown = text === null ? null : element("pre", { className: "file-theirs", tabIndex: 0, dir: "ltr", data: { testid: "theirs" }, aria: { label: "The version that is there" } }, text);
    this.#conflict.replaceChildren(
      element("p", {}, etag === null ? "The file is gone meanwhile. Yours is below, not saved." : "The file was changed meanwhile, by the agent or in another tab. That version is here, yours below, not saved."),
      ...(shown ? [shown] : []),
      element(
        "div",
        { className: "file-choices" },
        button(etag === null ? "Save mine again" : "Save mine over it", () => this.#save(theirs?.etag ?? etag), "keep-mine"),
        ...(text === null ? [] : [button("Take that one", () => this.#discard(), "take-theirs")]),
        button("Save mine as a copy", () => this.#saveCopy(), "save-copy"),
      ),
    );
    this.#conflict.hidden = false;
  }

  async #saveCopy() {
    const name = shownPath(this.#path.split("/").at(-1));
    const dot = name.lastIndexOf(".");
    const [stem, end] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
    const text = this.#editor.value;
    for (let number = 1; number <= 99; number += 1) {
      const copy = within(folderOf(this.#path), pathOf(`${stem} (mine${number > 1 ? ` ${number}` : ""})${end}`));
      try {
        await this.#files.write(copy, new Blob([text]), null);
        this.#hooks.onWritten(copy);
        this.#discard();
        return;
      } catch (error) {
        if (error.code === "changed") continue;
        this.#hooks.onProblem(error);
        return;
      }
    }
  }
}
