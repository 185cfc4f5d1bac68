/** The browser's two storages, where they may be forbidden or full: what they do not take is kept while the page lives. */

export class SafeStorage {
  #area = null;
  /** What the browser refused to keep; newer than what it has. */
  #memory = new Map();

  /** @param {() => Storage | undefined} area  may throw, as browsers do where a site may keep nothing */
  constructor(area) {
    try {
      this.#area = area() ?? null;
    } catch {
      // Forbidden: memory has to do.
    }
  }

  /** @param {string} key @returns {string | null} */
  get(key) {
    return this.#memory.get(key) ?? this.#area?.getItem(key) ?? null;
  }

  /** @param {string} key @param {string} value */
  set(key, value) {
    try {
      this.#area.setItem(key, value);
      this.#memory.delete(key);
    } catch {
      this.#memory.set(key, value);
    }
  }

  /** @param {string} key */
  remove(key) {
    this.#memory.delete(key);
    this.#area?.removeItem(key);
  }

  clear() {
    this.#memory.clear();
    this.#area?.clear();
  }
}

/** Of this browser: the token, the theme. */
export const local = new SafeStorage(() => globalThis.localStorage);
/** Of this tab: drafts, and prompts that are on their way. */
export const tab = new SafeStorage(() => globalThis.sessionStorage);
