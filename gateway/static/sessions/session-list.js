/** The list of sessions: what was used last comes first; renamed in place, deleted after a question. */

import { Outbox } from "../chat/outbox.js";
import { confirmed } from "../shared/confirm.js";
import { byId, element, icon, refocus } from "../shared/dom.js";
import { draftOf } from "../shared/drafts.js";
import { age } from "../shared/format.js";
import { isComposing } from "../shared/keys.js";
import { DEFAULT_TITLE, wellFormed } from "../shared/titles.js";
import { KnownSessions } from "./known-sessions.js";

const REFRESH_MS = 15_000;

/** @param {object | null | undefined} session  as the gateway told it: whatever is asked in it changes it */
const isUnused = (session) =>
  Boolean(session) && session.title === DEFAULT_TITLE && session.updatedAt === session.createdAt && !session.activeRun;

export class SessionList {
  #api;
  #list = byId("sessions");
  #note = byId("sessions-note");
  #more = byId("sessions-more");
  #known;
  /** The rows by session, each with what it shows. */
  #rows = new Map();
  #current = null;
  #editing = null;
  #onGone;
  #onRenamed;
  #onProblem;

  /**
   * @param {object} api
   * @param {object} hooks
   * @param {(id: string) => void} hooks.onGone
   * @param {(session: object) => void} hooks.onRenamed
   * @param {(error: Error) => void} hooks.onProblem
   * @param {() => void} hooks.onReached  the list was read by itself
   */
  constructor(api, { onGone, onRenamed, onProblem, onReached }) {
    this.#api = api;
    this.#known = new KnownSessions(api);
    this.#onGone = onGone;
    this.#onRenamed = onRenamed;
    this.#onProblem = onProblem;
    this.#more.addEventListener("click", () => this.#guard(() => this.#readOn()));
    let refreshing = false;
    const refresh = async () => {
      if (refreshing || document.visibilityState !== "visible" || byId("app").hidden) return;
      refreshing = true;
      // Failures show in the open session; the list just waits for the next time.
      await this.refresh().then(onReached, () => {});
      refreshing = false;
    };
    document.addEventListener("visibilitychange", refresh);
    setInterval(refresh, REFRESH_MS);
  }

  /** Looks at the list again. Rejects with an `ApiError`. */
  async refresh() {
    await this.#known.refresh();
    this.#render();
  }

  /** Whether nothing was asked in a session yet, as far as is known here. @param {string | undefined} id */
  isUnused(id) {
    return isUnused(this.#known.get(id));
  }

  /** A session of this list that is still as it was made, not written in either; null when there is none. */
  async unused() {
    const known = this.#known.sorted.find((one) => isUnused(one) && !draftOf(one.id));
    if (!known) return null;
    const session = await this.#api.getSession(known.id).catch(() => null);
    if (session) this.learn(session);
    return isUnused(session) ? session : null;
  }

  async create() {
    const session = await this.#api.createSession();
    this.learn(session);
    return session;
  }

  /** @param {object} session  as the gateway just told it */
  learn(session) {
    this.#known.learn(session);
    this.#render();
  }

  /** @param {string} id  of a session that is deleted for good */
  forget(id) {
    this.#known.forget(id);
    this.#render();
  }

  /** @param {string | null} id */
  select(id) {
    this.#current = id;
    this.#render();
  }

  async #readOn() {
    await this.#known.more();
    this.#render();
  }

  #render() {
    if (this.#editing) return;
    const focused = document.activeElement?.closest?.("[data-session] a, [data-session] button");
    const place = focused && { id: focused.closest("[data-session]").dataset.session, kind: focused.dataset.kind };
    const now = this.#api.now();
    const { sorted } = this.#known;
    this.#arrange(sorted.map((session) => this.#row(session, age(session.updatedAt, now))));
    this.#note.hidden = sorted.length > 0;
    this.#note.textContent = "Your sessions will be listed here.";
    this.#more.hidden = this.#known.cursor === null;
    if (place) this.#list.querySelector(`[data-session="${place.id}"] [data-kind="${place.kind}"]`)?.focus();
  }

  /** Rows that stay are not touched: a click on one would be lost, as it begins on one element and ends on another. */
  #arrange(rows) {
    const staying = new Set(rows);
    for (const row of [...this.#list.children]) {
      if (!staying.has(row)) row.remove();
    }
    let there = this.#list.firstElementChild;
    for (const row of rows) {
      if (there === row) there = row.nextElementSibling;
      else this.#list.insertBefore(row, there);
    }
  }

  /** A session's row: the one that is there, unless it would show something else. */
  #row(session, when) {
    const { id, title, activeRun } = session;
    const current = id === this.#current;
    const unsent = new Outbox(id).entries.length > 0 && !current;
    const shows = JSON.stringify([title, current, unsent, activeRun ? "on" : when]);
    const known = this.#rows.get(id);
    if (known?.shows === shows) return known.row;
    const row = this.#newRow(session, current, unsent ? "not sent" : when);
    this.#rows.set(id, { row, shows });
    return row;
  }

  #newRow(session, current, when) {
    const link = element(
      "a",
      { href: `#/s/${session.id}`, title: session.title, data: { kind: "open" }, aria: current ? { current: "page" } : {} },
      element("span", { className: "session-title one-line", dir: "auto" }, session.title),
      session.activeRun
        ? element("span", { className: "session-on", title: "A run is on" }, element("span", { className: "hidden" }, "running"))
        : element("span", { className: "session-age" }, when),
    );
    const button = (kind, name, label, action) =>
      element(
        "button",
        { type: "button", className: "icon-button", title: label, data: { kind }, aria: { label: `${label}: \u2068${session.title}\u2069` }, on: { click: action } },
        icon(name),
      );
    const item = element(
      "li",
      { className: "session", data: { testid: "session-item", session: session.id } },
      link,
      element(
        "span",
        { className: "session-actions" },
        button("rename", "edit", "Rename", () => this.#rename(item, session)),
        button("delete", "trash", "Delete", () => this.#delete(session)),
      ),
    );
    link.addEventListener("dblclick", (event) => {
      event.preventDefault();
      this.#rename(item, session);
    });
    return item;
  }

  #rename(item, session) {
    const input = element("input", { value: session.title, maxLength: 200, className: "session-name", dir: "auto", aria: { label: "Name of the session" } });
    const end = async (keep) => {
      if (this.#editing !== input) return;
      this.#editing = null;
      const title = wellFormed(input.value).trim();
      if (keep && title && title !== session.title) {
        await this.#guard(async () => {
          const renamed = await this.#api.renameSession(session.id, title);
          this.learn(renamed);
          this.#onRenamed(renamed);
        });
      }
      this.#render();
      refocus(this.#list, this.#list.querySelector(`[data-session="${session.id}"] a`));
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (isComposing(event)) return;
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
    });
    input.addEventListener("blur", () => end(true));
    this.#editing = input;
    this.#rows.delete(session.id); // Its row shows the field now.
    item.replaceChildren(input);
    input.select();
  }

  async #delete(session) {
    const dialog = byId("confirm");
    const running = session.activeRun ? " Its run is stopped." : "";
    byId("confirm-text").textContent =
      `“\u2068${session.title}\u2069”, its messages and the files in its sandbox are deleted for good.${running}`;
    if (!(await confirmed(dialog))) return;
    const place = [...this.#list.children].findIndex((item) => item.dataset.session === session.id);
    await this.#guard(async () => {
      try {
        await this.#api.deleteSession(session.id);
      } catch (error) {
        if (error.code !== "session-not-found") throw error; // Gone already: by another tab, or an answer got lost.
      }
      this.forget(session.id);
      const links = this.#list.querySelectorAll("[data-kind=open]");
      refocus(this.#list, links[Math.min(place, links.length - 1)] ?? byId("new-session"));
      this.#onGone(session.id);
    });
  }

  async #guard(action) {
    try {
      await action();
    } catch (error) {
      this.#onProblem(error);
    }
  }
}
