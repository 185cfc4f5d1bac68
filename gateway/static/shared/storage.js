/** The browser's two storages, where they may be forbidden or full: what they do not take is kept while the page lives. */

export class SafeStorage {
  #area = null;
  /** What the browser refused to keep; newer than what it has. */
  #memory = new Map();

  #prefix;

  /**
   * @param {() => Storage | undefined} area  may throw, as browsers do where a site may keep nothing
   * @param {string} [prefix]  of its keys, where others keep things in the same area
   */
  constructor(area, prefix = "") {
    this.#prefix = prefix;
    try {
      this.#area = area() ?? null;
    } catch {
      // Forbidden: memory has to do.
    }
  }

  /** @param {string} key @returns {string | null} */
  get(key) {
    return this.#memory.get(key) ?? this.#area?.getItem(this.#prefix + key) ?? null;
  }

  /** @param {string} key @param {string} value */
  set(key, value) {
    try {
      this.#area.setItem(this.#prefix + key, value);
      this.#memory.delete(key);
    } catch {
      this.#memory.set(key, value);
    }
  }

  /** @param {string} key */
  remove(key) {
    this.#memory.delete(key);
    this.#area?.removeItem(this.#prefix + key);
  }

  /** @param {string} [under]  only keys that begin so */
  clear(under = "") {
    for (const key of [...this.#memory.keys()]) {
      if (key.startsWith(under)) this.#memory.delete(key);
    }
    const kept = Array.from({ length: this.#area?.length ?? 0 }, (_, index) => this.#area.key(index));
    for (const key of kept) {
      if (key.startsWith(this.#prefix + under)) this.#area.removeItem(key);
    }
  }
}

/** Several gateways may share an origin, each under a path of its own; they share no users. */
const folder = new URL(".", globalThis.document?.baseURI ?? "http://localhost/").pathname;
/** What is in keys that are of the gateway alone. */
export const under = folder === "/" ? "" : folder;

/** Of this browser: the token, the theme. */
export const local = new SafeStorage(() => globalThis.localStorage);
/** Of whoever is signed in, in this browser, until they sign out: drafts, prompts on their way, modes; by session. */
export const own = new SafeStorage(() => globalThis.localStorage, `vaporforge.own${under}.`);
/** Of this tab: where one reads. */
export const tab = new SafeStorage(() => globalThis.sessionStorage, `vaporforge.tab${under}.`);
