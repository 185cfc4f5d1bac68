/** Search in the workspace, by content or by name; what is found takes the tree's place until it is closed. */

import { element } from "../shared/dom.js";
import { explain } from "../shared/format.js";

export class SearchBox {
  #files;
  #onOpen;
  #asked = 0;
  all = false;

  /** @param {import("./file-api.js").FileApi} files @param {{onOpen: (path: string, line: number) => void, onShown: (shown: boolean) => void}} hooks */
  constructor(files, { onOpen, onShown }) {
    this.#files = files;
    this.#onOpen = onOpen;
    this.onShown = onShown;
    this.field = element("input", { type: "search", className: "field", placeholder: "Search in files…", data: { testid: "search" }, aria: { label: "Search in files" } });
    this.kind = element("select", { className: "field", aria: { label: "Search by" } }, element("option", { value: "content" }, "contents"), element("option", { value: "name" }, "names"));
    this.results = element("div", { className: "search-results", hidden: true, data: { testid: "search-results" } });
    this.element = element("form", { className: "search-box", role: "search", on: { submit: (event) => this.#submit(event) } }, this.field, this.kind);
    this.field.addEventListener("input", () => this.field.value || this.#show(null));
    this.kind.addEventListener("change", () => this.field.value && this.#search());
  }

  #submit(event) {
    event.preventDefault();
    if (this.field.value) this.#search();
    else this.#show(null);
  }

  async #search() {
    this.#asked += 1;
    const asked = this.#asked;
    const q = this.field.value;
    const kind = this.kind.value;
    this.#show([element("p", { className: "panel-note", role: "status" }, "Searching…")]);
    try {
      const { matches, truncated } = await this.#files.search(q, { kind, all: this.all });
      if (asked !== this.#asked) return;
      const many = `${matches.length}${truncated ? " of more" : ""} found`;
      this.#show([element("p", { className: "file-note", role: "status" }, many), element("ul", {}, ...matches.map((match) => this.#match(match)))]);
    } catch (error) {
      if (asked === this.#asked) this.#show([element("p", { className: "panel-note", role: "alert" }, explain(error.message, error.code))]);
    }
  }

  #match({ path, name, line = 0, text = "" }) {
    const where = element("bdi", { className: "match-name one-line" }, line ? `${name}:${line}` : name);
    return element(
      "li",
      {},
      element("button", { type: "button", on: { click: () => this.#onOpen(path, line) } }, where, line ? element("code", { className: "one-line", dir: "ltr" }, text.trim()) : null),
    );
  }

  #show(parts) {
    this.#asked += parts ? 0 : 1;
    this.results.hidden = !parts;
    this.results.replaceChildren(...(parts ?? []));
    this.onShown(parts !== null);
  }
}
