/** The Files tab: the workspace's tree, search and uploads, and the file that is open. */

import { announce, element, icon, loadStyles } from "../shared/dom.js";
import { pathOf } from "../shared/file-address.js";
import { explain } from "../shared/format.js";
import { ask } from "./ask.js";
import { FileApi, folderOf, shownPath, within } from "./file-api.js";
import { FileView } from "./file-view.js";
import { SearchBox } from "./search-box.js";
import { droppedFiles, Transfers } from "./transfers.js";
import { FileTree } from "./tree.js";

/** What an address asks for: a path, and perhaps a line. @param {string} rest @returns {{path: string, line: number}} */
export function readRest(rest) {
  const [, path, line = "0"] = /^(.*?)(?::(\d{1,9}))?$/s.exec(rest);
  return { path, line: Number(line) };
}

/** See `panel/tabs.js`. */
export function open(place) {
  return new FilesTab(place);
}

class FilesTab {
  #files;
  #went;
  #tree;
  #view;
  #search;
  #transfers;
  #note = element("p", { className: "files-note", role: "alert", hidden: true });
  #side;
  #begun = null;
  #hidden = false;
  /** Whether files may be others by now than those that are shown. */
  #stale = false;
  #styles;

  constructor({ element: root, session, client, went }) {
    this.#went = went;
    this.#files = new FileApi(client.api, session);
    const onProblem = (error) => this.#problem(error);
    this.#tree = new FileTree(this.#files, { onOpen: ({ path, type }) => (type === "file" ? this.#open(path) : this.#tell(type)), onProblem });
    this.#view = new FileView(this.#files, session, {
      onProblem,
      onClosed: () => this.#close(),
      onWritten: () => this.#tree.refresh(),
      onDownload: (path, route) => this.#download(path, route),
    });
    this.#transfers = new Transfers(this.#files, session, { onDone: () => this.#tree.refresh() });
    this.#search = new SearchBox(this.#files, {
      onOpen: (path, line) => this.#open(path, line),
      onShown: (shown) => {
        this.#tree.element.hidden = shown;
      },
    });
    this.#side = element("div", { className: "files-side" }, this.#toolbar(), this.#search.element, this.#note, this.#transfers.element, this.#search.results, this.#tree.element);
    this.#side.addEventListener("keydown", (event) => this.#onKey(event));
    root.classList.add("files");
    root.append(this.#side, this.#view.element);
    for (const kind of ["dragover", "dragleave", "drop"]) root.addEventListener(kind, (event) => this.#onDrag(kind, event, root));
    root.addEventListener("paste", (event) => this.#onPaste(event));
    this.onFocus = () => this.#view.check();
    addEventListener("focus", this.onFocus);
    this.#styles = loadStyles("files/files.css");
  }

  get unsaved() {
    return this.#view.unsaved || this.#transfers.active;
  }

  async show(rest) {
    const { path, line } = readRest(rest);
    await this.#styles;
    this.#hidden = false;
    if (this.#stale) {
      this.#begun = null;
      this.#view.check();
    }
    this.#stale = false;
    this.#begun ??= this.#tree.refresh();
    if (!path) {
      this.#close({ told: true });
      return;
    }
    await this.#open(path, line, { told: true });
    await this.#begun;
    await this.#tree.reveal(path);
  }

  hide() {
    this.#hidden = true;
  }

  runEnded() {
    this.#stale = this.#hidden || this.#begun === null;
    if (this.#stale) return;
    this.#tree.refresh();
    this.#view.check();
  }

  close() {
    removeEventListener("focus", this.onFocus);
    this.#transfers.close();
    this.#view.close();
  }

  async #open(path, line = 0, { told = false } = {}) {
    this.#problem(null);
    this.#side.parentElement.classList.add("with-file");
    if (!told) this.#went(line ? `${path}:${line}` : path, { push: true });
    await this.#view.open(path, line);
  }

  #close({ told = false } = {}) {
    const { path } = this.#view;
    this.#view.close();
    this.#side.parentElement.classList.remove("with-file");
    if (told) return;
    this.#went("");
    this.#tree.reveal(path, { focus: true });
  }

  #toolbar() {
    const button = (name, label, testid, action) =>
      element("button", { type: "button", className: "icon-button", title: label, data: { testid }, aria: { label }, on: { click: action } }, icon(name));
    const pick = (folders) => {
      const input = element("input", { type: "file", multiple: true, webkitdirectory: folders, hidden: true, data: { testid: folders ? "pick-folder" : "pick" } });
      input.addEventListener("change", () => {
        this.#upload([...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
        input.value = "";
      });
      return input;
    };
    const [files, folder] = [pick(false), pick(true)];
    const all = element("input", { type: "checkbox", data: { testid: "show-all" } });
    all.addEventListener("change", () => {
      this.#tree.all = this.#search.all = all.checked;
      this.#tree.refresh();
    });
    return element(
      "div",
      { className: "files-tools", role: "toolbar", aria: { label: "Files" } },
      button("plus", "New file", "new-file", () => this.#make("file")),
      button("folder", "New folder", "new-folder", () => this.#make("folder")),
      button("upload", "Upload files", "upload", () => files.click()),
      button("folder-up", "Upload a folder", "upload-folder", () => folder.click()),
      button("edit", "Rename", "rename", () => this.#rename()),
      button("trash", "Delete", "delete", () => this.#delete()),
      button("download", "Download", "download-chosen", () => this.#downloadChosen()),
      button("refresh", "Look again", "refresh", () => this.#tree.refresh()),
      element("label", { className: "files-all", title: "Show what git ignores too" }, all, "all"),
      files,
      folder,
    );
  }

  /** Where new things go: the chosen folder, or that of the chosen file. */
  get #folder() {
    const { chosen } = this.#tree;
    if (!chosen) return "";
    return chosen.type === "folder" ? chosen.path : folderOf(chosen.path);
  }

  async #make(kind) {
    const where = this.#folder ? ` in “\u2068${shownPath(this.#folder)}\u2069”` : "";
    const name = await ask({ title: `New ${kind}${where}`, field: "Name", action: "Create" });
    if (!name) return;
    const path = within(this.#folder, pathOf(name));
    await this.#guard(async () => {
      if (kind === "folder") await this.#files.makeFolder(path);
      else await this.#files.write(path, "", null);
      await this.#tree.refresh();
      await this.#tree.reveal(path, { focus: true });
      if (kind === "file") await this.#open(path);
    });
  }

  async #rename() {
    const { chosen } = this.#tree;
    if (!chosen?.path) return this.#say("Choose a file or a folder first.");
    const name = await ask({ title: "Rename or move", value: shownPath(chosen.path), field: "Path in the workspace", action: "Rename" });
    if (!name || name === shownPath(chosen.path)) return undefined;
    const to = pathOf(name);
    return this.#guard(async () => {
      await this.#files.move(chosen.path, to);
      if (this.#view.path === chosen.path) this.#close();
      await this.#tree.refresh();
      await this.#tree.reveal(to, { focus: true });
    });
  }

  async #delete() {
    const { chosen } = this.#tree;
    if (!chosen?.path) return this.#say("Choose a file or a folder first.");
    const inside = chosen.type === "folder" ? " and all that is in it" : "";
    const sure = await ask({ title: `Delete this ${chosen.type}?`, text: `“\u2068${shownPath(chosen.path)}\u2069”${inside} is deleted for good.`, action: "Delete", danger: true });
    if (!sure) return undefined;
    return this.#guard(async () => {
      await this.#files.remove(chosen.path);
      if (this.#view.path === chosen.path || this.#view.path.startsWith(`${chosen.path}/`)) this.#close();
      announce("Deleted.");
      await this.#tree.refresh();
    });
  }

  #downloadChosen() {
    const { chosen } = this.#tree;
    if (chosen?.type === "file") return this.#download(chosen.path, "file");
    return this.#download(chosen?.type === "folder" ? chosen.path : "", "zip");
  }

  /** The browser saves it as it comes, by a ticket: it sends no headers of ours. */
  #download(path, route) {
    return this.#guard(async () => {
      const name = shownPath(path.split("/").at(-1) ?? "") || "workspace";
      const href = await this.#files.downloadAddress(path, route);
      const link = element("a", { href, download: route === "zip" ? `${name}.zip` : name });
      document.body.append(link);
      link.click();
      link.remove();
    });
  }

  #upload(chosen) {
    if (chosen.length) this.#transfers.add(chosen, this.#folder);
  }

  async #onDrag(kind, event, root) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    root.classList.toggle("dropping", kind === "dragover");
    if (kind === "drop") this.#upload(await droppedFiles(event.dataTransfer));
  }

  #onPaste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.#upload(files.map((file) => ({ file, name: file.name })));
  }

  #onKey(event) {
    if (!this.#tree.element.contains(event.target)) return;
    const action = { F2: () => this.#rename(), Delete: () => this.#delete() }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  #tell(type) {
    this.#say(type === "link" ? "This is a link; it is not followed." : "This is a pipe, a socket or a device, and no file.");
  }

  async #guard(action) {
    this.#problem(null);
    try {
      await action();
    } catch (error) {
      this.#problem(error);
    }
  }

  #problem(error) {
    this.#say(error ? explain(error.message, error.code) : "");
  }

  #say(text) {
    this.#note.textContent = text;
    this.#note.hidden = !text;
  }
}
