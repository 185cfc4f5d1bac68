/** The workspace's folders as a tree (ARIA's tree pattern): a folder is asked for when it is opened, in pages. */

import { element, icon } from "../shared/dom.js";

/** Icons by what an entry is. */
const ICONS = { folder: "chevron", file: "file", link: "link", special: "alert" };

export class FileTree {
  #files;
  #onOpen;
  #onProblem;
  #open = new Set();
  /** Entries by their element. */
  #entries = new WeakMap();
  /** Elements by path. */
  #items = new Map();
  all = false;

  /**
   * @param {import("./file-api.js").FileApi} files
   * @param {{onOpen: (entry: object) => void, onProblem: (error: Error) => void}} hooks  `onOpen`: a file was chosen
   */
  constructor(files, { onOpen, onProblem }) {
    this.#files = files;
    this.#onOpen = onOpen;
    this.#onProblem = onProblem;
    this.element = element("ul", { className: "tree", role: "tree", data: { testid: "tree" }, aria: { label: "Files of the workspace" } });
    this.element.addEventListener("click", ({ target }) => this.#onClick(target.closest("li")));
    this.element.addEventListener("keydown", (event) => this.#onKey(event));
    this.element.addEventListener("focusin", ({ target }) => target.closest("li") && this.#point(target.closest("li")));
  }

  /** What is chosen: an entry of the gateway's, or null. */
  get chosen() {
    return this.#entries.get(this.element.querySelector("[aria-selected=true]")) ?? null;
  }

  /** Looks at the workspace again; what was open stays open. */
  async refresh() {
    const path = this.chosen?.path;
    const focused = this.element.contains(document.activeElement);
    await this.#fill(this.element, "", 1);
    const item = this.#items.get(path);
    if (item) this.#choose(item);
    if (!this.element.querySelector("[tabindex='0']")) this.#point(this.element.querySelector("li"));
    if (focused) this.element.querySelector("[tabindex='0']")?.focus();
  }

  /** Opens the folders on the way to a path, and chooses what is there. @param {string} path @param {{focus?: boolean}} how */
  async reveal(path, { focus = false } = {}) {
    const parts = path.split("/");
    for (let count = 1; count < parts.length; count += 1) {
      const item = this.#items.get(parts.slice(0, count).join("/"));
      if (item && !this.#open.has(this.#entries.get(item).path)) await this.#expand(item);
    }
    const item = this.#items.get(path);
    if (!item) return;
    this.#choose(item);
    item.scrollIntoView({ block: "nearest" });
    if (focus) item.focus();
  }

  async #fill(list, folder, level, cursor = null) {
    let page;
    try {
      page = await this.#files.list(folder, { all: this.all, cursor });
    } catch (error) {
      if (error.status === 404 && folder) this.#open.delete(folder); // gone meanwhile
      else this.#onProblem(error);
      return;
    }
    const items = page.entries.map((entry) => this.#item(entry, level));
    if (page.cursor) items.push(this.#more(list, folder, level, page));
    if (!items.length && !cursor) items.push(element("li", { role: "none", className: "tree-empty" }, folder ? "Empty" : "The workspace is empty."));
    if (cursor) list.append(...items);
    else list.replaceChildren(...items);
    const opened = items.filter((item) => this.#open.has(this.#entries.get(item)?.path));
    for (const item of opened) await this.#expand(item); // A user has so many requests at once.
  }

  #item(entry, level) {
    const { name, path, type, target, ignored } = entry;
    const item = element(
      "li",
      {
        role: "treeitem",
        tabIndex: -1,
        className: ignored ? "ignored" : "",
        data: { type },
        aria: { level, selected: "false", ...(type === "folder" ? { expanded: "false" } : {}) },
      },
      element("div", { className: "tree-row", title: target === undefined ? name : `${name} → ${target}` }, icon(ICONS[type] ?? "alert"), element("bdi", { className: "one-line" }, name)),
    );
    item.style.setProperty("--level", level);
    this.#entries.set(item, entry);
    this.#items.set(path, item);
    return item;
  }

  #more(list, folder, level, { cursor, total, more }) {
    const item = element(
      "li",
      { role: "treeitem", tabIndex: -1, className: "tree-more", aria: { level, selected: "false" } },
      element("div", { className: "tree-row" }, `Show more of ${more ? "over " : ""}${total.toLocaleString("en")}…`),
    );
    item.style.setProperty("--level", level);
    this.#entries.set(item, { type: "more", path: "", load: async () => {
      const had = item.contains(document.activeElement);
      const before = item.previousElementSibling;
      item.remove();
      await this.#fill(list, folder, level, cursor);
      if (had) (before?.nextElementSibling ?? before)?.focus();
    } });
    return item;
  }

  #onClick(item) {
    if (!item) return;
    this.#choose(item);
    item.focus();
    this.#activate(item);
  }

  #activate(item) {
    const entry = this.#entries.get(item);
    if (!entry) return;
    if (entry.type === "more") entry.load();
    else if (entry.type !== "folder") this.#onOpen(entry);
    else if (this.#open.has(entry.path)) this.#fold(item);
    else this.#expand(item);
  }

  async #expand(item) {
    const { path } = this.#entries.get(item);
    this.#open.add(path);
    item.setAttribute("aria-expanded", "true");
    item.querySelector(":scope > ul")?.remove();
    const list = element("ul", { role: "group" });
    item.append(list);
    await this.#fill(list, path, Number(item.getAttribute("aria-level")) + 1);
  }

  #fold(item) {
    this.#open.delete(this.#entries.get(item).path);
    item.setAttribute("aria-expanded", "false");
    item.querySelector(":scope > ul")?.remove();
  }

  #choose(item) {
    for (const other of this.element.querySelectorAll("[aria-selected=true]")) other.setAttribute("aria-selected", "false");
    item.setAttribute("aria-selected", "true");
    this.#point(item);
  }

  /** Tab comes to this one. */
  #point(item) {
    for (const other of this.element.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
    if (item) item.tabIndex = 0;
  }

  #onKey(event) {
    const item = event.target.closest("li");
    if (!item || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = [...this.element.querySelectorAll("[role=treeitem]")];
    const at = all.indexOf(item);
    const expanded = item.getAttribute("aria-expanded");
    const to = {
      ArrowDown: () => all[at + 1],
      ArrowUp: () => all[at - 1],
      Home: () => all[0],
      End: () => all.at(-1),
      ArrowLeft: () => (expanded === "true" ? this.#fold(item) : item.parentElement.closest("li")),
      ArrowRight: () => (expanded === "false" ? void this.#expand(item) : expanded && item.querySelector("[role=treeitem]")),
      Enter: () => (this.#choose(item), this.#activate(item)),
      " ": () => (this.#choose(item), this.#activate(item)),
    }[event.key];
    if (to) {
      event.preventDefault();
      to()?.focus?.();
    } else if (event.key.length === 1) {
      const begin = event.key.toLowerCase();
      const next = [...all.slice(at + 1), ...all.slice(0, at)].find((one) => one.textContent.toLowerCase().startsWith(begin));
      next?.focus();
    }
  }
}
