/** The panel beside the chat: a session's tabs, each loaded when it is first opened; a sheet over the chat where it is narrow. */

import { byId, element, icon } from "../shared/dom.js";
import { isComposing } from "../shared/keys.js";
import { local } from "../shared/storage.js";
import { TABS } from "./tabs.js";
import { widthHandle } from "./width.js";

const SHEET = matchMedia("(max-width: 1000px)");
/** Of a tab's modules: what has not come by then may never come. */
const SLOW_MS = 20_000;
/** The tab that was last open in this browser. */
const LAST = "vaporforge.panel.tab";

/** Which tab a key leads to; null where it means nothing here. @param {string} key @param {number} at @param {number} count */
export function tabAfter(key, at, count) {
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: count - 1 }[key];
  return to === undefined ? null : (to + count) % count;
}

export class Panel {
  #client;
  #went;
  #app = byId("app");
  #main = byId("main");
  #element;
  #tabs = new Map();
  #session = null;
  #current = "";
  /** What each tab shows of the session: its element, its view once it is loaded, and what the address says of it. */
  #views = new Map();

  /**
   * @param {object} client
   * @param {object} hooks
   * @param {(tab: string, rest: string, push: boolean) => void} hooks.went  what the address is to say; no tab: it is closed
   */
  constructor(client, { went }) {
    this.#client = client;
    this.#went = went;
    for (const tab of TABS) this.#tabs.set(tab.id, this.#button(tab));
    const close = element(
      "button",
      { type: "button", className: "icon-button", title: "Close the panel", aria: { label: "Close the panel" }, on: { click: () => this.#leave() } },
      icon("close"),
    );
    this.#element = element(
      "aside",
      { id: "panel", className: "panel", hidden: true, data: { testid: "panel" }, aria: { label: "Workspace" } },
      widthHandle(this.#app),
      element(
        "div",
        { className: "panel-bar" },
        element("div", { className: "panel-tabs", role: "tablist", aria: { label: "Workspace" }, on: { keydown: (event) => this.#onKey(event) } }, ...this.#tabs.values()),
        close,
      ),
    );
    // What is pressed in here stops no run; where the panel is over the chat, Escape leads back to it.
    this.#element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      if (SHEET.matches && !event.defaultPrevented && !isComposing(event)) this.#leave();
    });
    SHEET.addEventListener("change", () => this.#cover());
    this.#app.append(this.#element);
  }

  get open() {
    return !this.#element.hidden;
  }

  /** Whether leaving the page would lose work. */
  get unsaved() {
    return [...this.#views.values()].some(({ view }) => view?.unsaved);
  }

  /**
   * Shows a session, in the tab that is asked for or that was last open.
   *
   * @param {string} session @param {string} tab @param {string} rest
   * @param {{focus?: boolean}} how  `focus`: the reader asked for it just now
   */
  show(session, tab = "", rest = "", { focus = false } = {}) {
    if (session !== this.#session) this.#forget();
    this.#session = session;
    const wanted = [tab, this.#current, local.get(LAST)].find((id) => this.#tabs.has(id)) ?? TABS[0].id;
    this.#element.hidden = false;
    this.#app.classList.add("with-panel");
    byId("panel-open").setAttribute("aria-expanded", "true");
    // Nothing in particular: what was shown last.
    const shown = tab ? rest : (this.#views.get(wanted)?.rest ?? "");
    this.#select(wanted, shown);
    if (!tab) this.#went(wanted, shown, false);
    this.#cover();
    if (focus) this.#tabs.get(wanted).focus();
  }

  /** Goes along to another session. @param {string | null} session @returns {boolean} whether it does */
  follow(session) {
    if (!session || !this.open || SHEET.matches) return false;
    this.show(session);
    return true;
  }

  /** Hides it; what its tabs show stays as it is. */
  hide() {
    if (!this.open) return;
    const had = this.#element.contains(document.activeElement);
    this.#views.get(this.#current)?.view?.hide?.();
    this.#element.hidden = true;
    this.#app.classList.remove("with-panel");
    byId("panel-open").setAttribute("aria-expanded", "false");
    this.#cover();
    if (had) byId("panel-open").focus();
  }

  /** The agent has done what it was asked. */
  runEnded() {
    for (const { view } of this.#views.values()) view?.runEnded?.();
  }

  /** Ends what is shown of a session. */
  close() {
    this.hide();
    this.#forget();
  }

  #leave() {
    this.hide();
    this.#went("", "", false);
  }

  #forget() {
    for (const { element: shown, view } of this.#views.values()) {
      view?.close();
      shown.remove();
    }
    this.#views.clear();
    this.#session = null;
  }

  /** Where it is over the chat, that is out of reach. */
  #cover() {
    this.#main.inert = this.open && SHEET.matches;
  }

  #button({ id, title }) {
    return element(
      "button",
      {
        id: `panel-tab-${id}`,
        type: "button",
        role: "tab",
        tabIndex: -1,
        data: { testid: `tab-${id}` },
        aria: { selected: "false", controls: `panel-${id}` },
        on: { click: () => this.#choose(id) },
      },
      title,
    );
  }

  #onKey(event) {
    const ids = [...this.#tabs.keys()];
    const to = tabAfter(event.key, ids.indexOf(this.#current), ids.length);
    if (to === null) return;
    event.preventDefault();
    this.#choose(ids[to]);
    this.#tabs.get(ids[to]).focus();
  }

  #choose(id) {
    this.#select(id, this.#views.get(id)?.rest ?? "");
    this.#went(id, this.#views.get(id).rest, false);
  }

  #select(id, rest) {
    if (id !== this.#current) this.#views.get(this.#current)?.view?.hide?.();
    this.#current = id;
    local.set(LAST, id);
    for (const [other, button] of this.#tabs) {
      button.setAttribute("aria-selected", String(other === id));
      button.tabIndex = other === id ? 0 : -1;
    }
    for (const [other, { element: shown }] of this.#views) shown.hidden = other !== id;
    const known = this.#views.get(id);
    if (!known) {
      this.#open(id, rest);
      return;
    }
    known.rest = rest;
    known.view?.show(rest);
  }

  #open(id, rest) {
    const shown = element("div", { id: `panel-${id}`, className: "panel-view", role: "tabpanel", aria: { labelledby: `panel-tab-${id}` } });
    const entry = { element: shown, view: null, rest };
    this.#views.set(id, entry);
    this.#element.append(shown);
    this.#load(id, entry);
  }

  /** What can be done about a tab that does not come. */
  #offer(id, entry) {
    const button = (name, action) => element("button", { type: "button", className: "secondary", on: { click: action } }, name);
    entry.element.replaceChildren(
      element("p", { className: "panel-note", role: "alert" }, "This part of the page could not be loaded. Check your connection."),
      element("div", { className: "panel-offers" }, button("Try again", () => this.#load(id, entry)), button("Load the page again", () => location.reload())),
    );
  }

  async #load(id, entry) {
    const { element: shown } = entry;
    const session = this.#session;
    shown.replaceChildren(element("p", { className: "panel-note", role: "status" }, "Loading…"));
    // Browsers drop requests when their network changes; some tell of no error then, and some never ask for a module again.
    const slow = setTimeout(() => this.#offer(id, entry), SLOW_MS);
    let module;
    try {
      module = await TABS.find((tab) => tab.id === id).load();
    } catch {
      this.#offer(id, entry);
      return;
    } finally {
      clearTimeout(slow);
    }
    if (this.#views.get(id) !== entry || entry.view) return; // Another session is shown by now; or it came by another try.
    shown.replaceChildren();
    const went = (rest, { push = false } = {}) => {
      entry.rest = rest;
      if (this.open && this.#current === id && this.#session === session) this.#went(id, rest, push);
    };
    entry.view = module.open({ element: shown, session, client: this.#client, went });
    if (this.#current === id) entry.view.show(entry.rest);
  }
}
