/**
 * What is known of the user's sessions, in the gateway's one order: by last use, the newest first. A look reads what
 * was used since the last one, and in turn a part of what else is shown, so that a list of thousands is never read at
 * once, and a session that was deleted elsewhere goes from it.
 */

const PAGE = 50;
/** Sessions in one reading of what is shown further down; the most that the gateway gives. */
const PART = 200;
/** How far the clocks of two gateways may be apart, in ms. */
const SKEW_MS = 10_000;
/** Greater than any time. */
const TOP = "~";

export class KnownSessions {
  /** The cursor behind what was read of the list; null where there is no more. */
  cursor = null;
  #api;
  #sessions = new Map();
  /** Counts what was asked and learned; by it, when each session was learned: a list asked for before is older. */
  #time = 0;
  #learned = new Map();
  #deleted = new Set();
  /** The newest time of the last look: what was used since is newer. */
  #head = "";
  /** The time down to which the list is shown: the cursor stands there. */
  #end = TOP;
  /** Whether more than the first page is shown. */
  #further = false;
  /** Where the next look further down begins: a cursor, and the time that what follows is below; null: behind the top. */
  #next = null;

  /** @param {object} api */
  constructor(api) {
    this.#api = api;
  }

  /** @returns {object[]} the newest first; what is of one time stays in the gateway's order */
  get sorted() {
    return [...this.#sessions.values()].sort((a, b) => (a.updatedAt < b.updatedAt ? 1 : a.updatedAt > b.updatedAt ? -1 : 0));
  }

  /** @param {string | undefined} id */
  get(id) {
    return this.#sessions.get(id);
  }

  /** @param {object} session  as the gateway just told it */
  learn(session) {
    if (this.#deleted.has(session.id)) return;
    this.#sessions.set(session.id, session);
    this.#learned.set(session.id, ++this.#time);
  }

  /** @param {string} id  of a session that is deleted for good */
  forget(id) {
    this.#deleted.add(id);
    this.#sessions.delete(id);
    this.#learned.delete(id);
  }

  /** Looks at the list again. Rejects with an `ApiError`. */
  async refresh() {
    const asked = ++this.#time;
    const known = this.#head && new Date(Date.parse(this.#head) - SKEW_MS).toISOString();
    const met = ({ sessions, cursor }) => !known || !cursor || sessions.at(-1)?.updatedAt < known;
    let page = await this.#api.listSessions({ limit: PAGE });
    const sessions = [...page.sessions];
    while (!met(page) && sessions.length < this.#sessions.size) {
      page = await this.#api.listSessions({ limit: PAGE, cursor: page.cursor });
      sessions.push(...page.sessions);
    }
    const last = lastOf(page, TOP);
    this.#take(sessions, { below: TOP, last: met(page) ? last : "" }, asked);
    this.#head = sessions[0]?.updatedAt ?? "";
    if (met(page) && page.cursor && this.#further) await this.#lookFurther({ cursor: page.cursor, below: last });
    else this.#endAt(page.cursor, last);
  }

  /** Reads the next page. Rejects with an `ApiError`. */
  async more() {
    const { cursor } = this;
    const below = this.#end;
    const asked = ++this.#time;
    const page = await this.#api.listSessions({ limit: PAGE, cursor });
    if (cursor !== this.cursor) return; // The list ends elsewhere meanwhile: this is not its next page.
    this.#end = lastOf(page, below);
    this.#take(page.sessions, { below, last: this.#end }, asked);
    this.cursor = page.cursor;
    this.#further = true;
  }

  /** What is shown ends here, and was read in one go. */
  #endAt(cursor, last) {
    this.cursor = cursor;
    this.#end = last;
    this.#further = false;
    this.#next = null;
  }

  /** Looks at a part of what is shown behind the top, which ends at `top`: each time on from where the last one ended. */
  async #lookFurther(top) {
    const { cursor, below } = this.#next ?? top;
    const asked = ++this.#time;
    const page = await this.#api.listSessions({ limit: PART, cursor });
    const last = lastOf(page, below);
    const shown = page.sessions.filter(({ id, updatedAt }) => updatedAt >= this.#end || this.#sessions.has(id));
    this.#take(shown, { below, last }, asked);
    this.#next = last > this.#end ? { cursor: page.cursor, below: last } : null;
  }

  /**
   * Takes a reading of the list between two times. What is known there and was not read is gone, unless it was learned
   * since.
   */
  #take(sessions, { below, last }, asked) {
    const read = new Set(sessions.map(({ id }) => id));
    for (const { id, updatedAt } of [...this.#sessions.values()]) {
      const within = updatedAt < below && updatedAt > last;
      if (within && !read.has(id) && !(this.#learned.get(id) > asked)) this.#sessions.delete(id);
    }
    for (const session of sessions) {
      const known = this.#sessions.get(session.id);
      if (this.#deleted.has(session.id) || known?.updatedAt > session.updatedAt) continue;
      // Put behind what is known: within one time the order of the last reading counts.
      this.#sessions.delete(session.id);
      this.#sessions.set(session.id, this.#learned.get(session.id) > asked ? known : session);
    }
  }
}

/** The time down to which a page has read; the one that it is below where it held nothing. */
const lastOf = ({ sessions, cursor }, below) => (cursor ? (sessions.at(-1)?.updatedAt ?? below) : "");
