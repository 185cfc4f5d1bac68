/** Uploads on their way, as a list with how far each is; what fails can be tried again or given up. */

import { announce, element } from "../shared/dom.js";
import { pathOf } from "../shared/file-address.js";
import { explain } from "../shared/format.js";
import { ask } from "./ask.js";
import { shownPath, within } from "./file-api.js";
import { forget, upload } from "./upload.js";

const AT_ONCE = 2;

/** Files of what was dropped, with the folders that they are in. @param {DataTransfer} dropped @returns {Promise<{file: File, name: string}[]>} */
export async function droppedFiles(dropped) {
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...dropped.files].map((file) => ({ file, name: file.name }));
  const found = [];
  const walk = async (entry, before) => {
    const name = before + entry.name;
    if (entry.isFile) {
      found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), name });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      // It gives a hundred at a time.
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const one of some) await walk(one, `${name}/`);
    }
  };
  for (const entry of entries) await walk(entry, "");
  return found;
}

export class Transfers {
  #files;
  #session;
  #onDone;
  #onCame;
  #waiting = [];
  #running = 0;
  #controllers = new Set();

  /**
   * @param {import("./file-api.js").FileApi} files @param {string} session
   * @param {{onDone: () => void, onCame?: (path: string) => void}} hooks  `onDone`: all that was on its way has come or
   *   failed; `onCame`: one has come
   */
  constructor(files, session, { onDone, onCame = () => {} }) {
    this.#files = files;
    this.#session = session;
    this.#onDone = onDone;
    this.#onCame = onCame;
    this.element = element("ul", { className: "transfers", hidden: true, data: { testid: "transfers" }, aria: { label: "Uploads" } });
  }

  get active() {
    return this.#running > 0 || this.#waiting.length > 0;
  }

  /** @param {{file: File, name: string}[]} chosen @param {string} folder  where they go */
  add(chosen, folder) {
    for (const { file, name } of chosen) this.#waiting.push(this.#row(file, within(folder, pathOf(name))));
    this.element.hidden = false;
    this.#next();
  }

  close() {
    this.#waiting.length = 0;
    for (const controller of this.#controllers) controller.abort();
  }

  #next() {
    while (this.#running < AT_ONCE && this.#waiting.length) {
      this.#running += 1;
      const job = this.#waiting.shift();
      job().finally(() => {
        this.#running -= 1;
        this.#next();
        if (!this.active) this.#onDone();
      });
    }
  }

  #row(file, path) {
    const name = shownPath(path);
    const bar = element("progress", { max: Math.max(1, file.size), value: 0, aria: { label: `Upload of ${name}` } });
    const said = element("span", { className: "transfer-said", role: "status" }, "waiting");
    const cancel = element("button", { type: "button", className: "quiet" }, "Cancel");
    const row = element("li", { data: { testid: "transfer" } }, element("bdi", { className: "one-line" }, name), bar, said, cancel);
    const key = `${this.#session}.upload.${path}`;
    let controller = new AbortController();
    this.element.append(row);

    const job = async (etag = null) => {
      controller = new AbortController();
      this.#controllers.add(controller);
      cancel.textContent = "Cancel";
      said.textContent = "0 %";
      const { signal } = controller;
      const progress = (sent) => {
        bar.value = sent;
        said.textContent = `${Math.floor((100 * sent) / Math.max(1, file.size))} %`;
      };
      try {
        await upload(this.#files, { file, path, etag, key, signal, progress });
        row.remove();
        this.#onCame(path);
        announce(`${name} is uploaded.`);
      } catch (error) {
        if (signal.aborted) return;
        if (error.code === "changed" && error.etag && (await this.#mayReplace(name))) {
          await job(error.etag);
          return;
        }
        if (error.code === "changed") await this.#drop(row, path, key);
        else {
          said.textContent = explain(error.message, error.code);
          row.classList.add("failed");
          cancel.textContent = "Give up";
          const again = element("button", { type: "button", className: "quiet" }, "Try again");
          again.addEventListener("click", () => {
            again.remove();
            row.classList.remove("failed");
            this.#waiting.push(() => job(etag));
            this.#next();
          });
          row.append(again);
        }
      } finally {
        this.#controllers.delete(controller);
        this.element.hidden = !this.element.children.length;
      }
    };
    cancel.addEventListener("click", () => {
      controller.abort();
      this.#waiting = this.#waiting.filter((one) => one !== first);
      this.#drop(row, path, key);
    });
    const first = () => (row.isConnected ? job() : Promise.resolve());
    return first;
  }

  async #drop(row, path, key) {
    row.remove();
    this.element.hidden = !this.element.children.length;
    await forget(this.#files, path, key);
  }

  async #mayReplace(name) {
    return (await ask({ title: "Replace the file?", text: `There is “\u2068${name}\u2069” already.`, action: "Replace", danger: true })) !== null;
  }
}
