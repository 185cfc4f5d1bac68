/** The tab of a session's terminals: a list of shells, one of them on the screen, and what became of its connection. */

import { newId } from "../client/client.js";
import { announce, copyText, element, icon, loadStyles } from "../shared/dom.js";
import { isApple } from "../shared/keys.js";
import { Screen } from "./screen.js";

const HINT = () => (isApple() ? "⌘ C copies, ⌘ F searches, Ctrl Shift L leaves the terminal" : "Ctrl Shift C copies, Ctrl Shift V pastes, Ctrl Shift F searches, Ctrl Shift L leaves the terminal");

/** What a keyboard on glass has no keys for. */
const KEYS = { Esc: "\x1b", Tab: "\t", "Ctrl C": "\x03", "Ctrl D": "\x04", "↑": "\x1b[A", "↓": "\x1b[B" };

/** What a state of the connection is called; empty where there is nothing to say. @param {string} state @param {{exitCode?: number, error?: Error}} [detail] */
export function saying(state, { exitCode, error } = {}) {
  switch (state) {
    case "connecting":
    case "waiting":
      return "Reconnecting…";
    case "exited":
      return `The shell has ended${exitCode ? ` with ${exitCode}` : ""}.`;
    case "gone":
      return "This terminal has ended with its sandbox.";
    case "elsewhere":
      return "This terminal is connected from somewhere else.";
    case "failed":
      return error?.message ?? "This terminal cannot be reached.";
    case "full":
      return "Too much waits to be typed already; that was left out.";
    default:
      return "";
  }
}

/** @param {object} place  a `Place` of panel/tabs.js @returns {Terminals} a `View` of it */
export function open(place) {
  return new Terminals(place);
}

class Terminals {
  #place;
  #shells = new Map();
  #current = "";
  #wanted = "";
  #number = 0;
  #listed = null;
  #tabs = element("div", { className: "terminal-tabs", role: "tablist", aria: { label: "Terminals" } });
  #host = element("div", { className: "terminal-host" });
  #status = element("p", { className: "terminal-status", role: "status", data: { testid: "terminal-status" }, hidden: true });
  #note = element("p", { className: "panel-note" });
  #find = element("input", { type: "search", placeholder: "Search", aria: { label: "Search in the terminal" } });
  #finder;
  #new;

  constructor(place) {
    this.#place = place;
    this.#new = element(
      "button",
      { type: "button", className: "icon-button", title: "New terminal", data: { testid: "terminal-new" }, aria: { label: "New terminal" }, on: { click: () => this.#openNew() } },
      icon("plus"),
    );
    this.#finder = element("form", { className: "terminal-find", hidden: true, role: "search" }, this.#find);
    this.#finder.addEventListener("submit", (event) => event.preventDefault());
    this.#find.addEventListener("keydown", (event) => this.#onFindKey(event));
    this.#tabs.addEventListener("keydown", (event) => this.#onKey(event));
    const doing = (label, action) => element("button", { type: "button", className: "quiet", on: { click: action } }, label);
    const bar = element("div", { className: "terminal-bar" }, this.#tabs, this.#new, element("span", { className: "spacer" }), doing("Copy", () => this.#copy()), doing("Search", () => this.#openFinder()));
    const keys = element("div", { className: "terminal-keys", role: "toolbar", aria: { label: "Keys" } });
    for (const [label, text] of Object.entries(KEYS)) keys.append(doing(label, () => this.#press(text)));
    this.#note.hidden = true;
    place.element.classList.add("terminals");
    place.element.append(bar, this.#finder, this.#note, this.#host, keys, this.#status, element("p", { className: "terminal-hint" }, HINT()));
    this.#leave = (event) => event.persisted || this.close();
    addEventListener("pagehide", this.#leave);
  }

  #leave;

  async show(rest) {
    this.#wanted = rest || this.#current;
    await Promise.all([loadStyles("vendor/xterm.css"), loadStyles("terminal/terminal.css")]);
    this.#listed ??= this.#list();
    await this.#listed;
    if (this.#shells.size) this.#select(this.#shells.has(this.#wanted) ? this.#wanted : this.#shells.keys().next().value);
  }

  close() {
    removeEventListener("pagehide", this.#leave);
    for (const { screen } of this.#shells.values()) screen.close();
    this.#shells.clear();
  }

  async #list() {
    try {
      const { terminals } = await this.#place.client.api.listTerminals(this.#place.session);
      for (const { id } of terminals) this.#add(id);
      this.#say(this.#shells.size ? "" : "A terminal is a shell in this session's sandbox, beside the agent.", "Open a terminal", () => this.#openNew());
    } catch (error) {
      this.#listed = null;
      this.#say(error.message, "Try again", () => this.show(this.#wanted));
    }
  }

  async #openNew() {
    this.#new.disabled = true;
    this.#say(this.#shells.size ? "" : "Starting…");
    try {
      const { id } = await this.#place.client.api.openTerminal(this.#place.session, { id: `t-${newId().slice(0, 12)}` });
      this.#add(id);
      this.#say("");
      this.#select(id, { focus: true });
    } catch (error) {
      this.#say(error.message, "Try again", () => this.#openNew());
    } finally {
      this.#new.disabled = false;
    }
  }

  #add(id) {
    this.#number += 1;
    const name = `Terminal ${this.#number}`;
    const label = element("span", {}, name);
    const tab = element(
      "button",
      { type: "button", role: "tab", id: `terminal-tab-${id}`, tabIndex: -1, title: name, data: { testid: "terminal-tab" }, aria: { selected: "false" }, on: { click: () => this.#select(id, { focus: true }) } },
      label,
    );
    const end = element(
      "button",
      { type: "button", className: "icon-button", title: `Close ${name}`, tabIndex: -1, aria: { label: `Close ${name}` }, on: { click: () => this.#end(id) } },
      icon("close"),
    );
    const shell = { name, tab, end, state: "connecting", detail: {} };
    shell.screen = new Screen(this.#place.client, { sessionId: this.#place.session, terminal: id }, name, {
      onState: (state, detail = {}) => this.#onState(id, state, detail),
      onTitle: (title) => {
        label.textContent = title || name;
        tab.title = title || name;
      },
      onLeave: () => tab.focus(),
      onFind: () => this.#openFinder(),
      onCopy: () => this.#copy(),
    });
    this.#shells.set(id, shell);
    this.#tabs.append(element("span", { className: "terminal-tab", role: "presentation" }, tab, end));
  }

  #onState(id, state, detail) {
    const shell = this.#shells.get(id);
    if (!shell) return;
    Object.assign(shell, { state, detail, wasOpen: shell.wasOpen || state === "open" });
    shell.tab.dataset.state = state;
    if (id === this.#current) this.#showState();
  }

  #showState() {
    const { state, detail, screen, wasOpen } = this.#shells.get(this.#current);
    const text = wasOpen || (state !== "connecting" && state !== "waiting") ? saying(state, detail) : "";
    if (text && this.#status.textContent !== text) announce(text);
    this.#status.hidden = !text;
    const again = state === "elsewhere" || state === "waiting";
    this.#status.replaceChildren(text, ...(again ? [element("button", { type: "button", className: "quiet", on: { click: () => screen.retry() } }, "Connect now")] : []));
  }

  #select(id, { focus = false } = {}) {
    this.#current = id;
    for (const [other, { tab, end }] of this.#shells) {
      tab.setAttribute("aria-selected", String(other === id));
      tab.tabIndex = end.tabIndex = other === id ? 0 : -1;
    }
    const { screen } = this.#shells.get(id);
    this.#host.replaceChildren(screen.element);
    screen.show({ focus });
    this.#showState();
    this.#place.went(id);
  }

  async #end(id) {
    const shell = this.#shells.get(id);
    shell.end.disabled = true;
    try {
      await this.#place.client.api.closeTerminal(this.#place.session, id);
    } catch (error) {
      shell.end.disabled = false;
      this.#onState(id, "failed", { error });
      return;
    }
    this.#shells.delete(id);
    shell.screen.close();
    shell.tab.parentElement.remove();
    announce(`${shell.name} is closed.`);
    const next = [...this.#shells.keys()].at(-1);
    if (next) {
      this.#select(next);
      this.#shells.get(next).tab.focus();
      return;
    }
    this.#current = "";
    this.#status.hidden = true;
    this.#place.went("");
    this.#say("No terminal is open.", "Open a terminal", () => this.#openNew());
    this.#new.focus();
  }

  #say(text, label = "", action = () => {}) {
    this.#note.hidden = !text;
    this.#note.replaceChildren(text, " ", ...(text && label ? [element("button", { type: "button", className: "secondary", on: { click: action } }, label)] : []));
  }

  #press(text) {
    const screen = this.#shells.get(this.#current)?.screen;
    screen?.press(text);
    screen?.focus();
  }

  async #copy() {
    const screen = this.#shells.get(this.#current)?.screen;
    const text = screen?.selection;
    announce(text && (await copyText(text)) ? "Copied" : "Nothing is selected");
    screen?.focus();
  }

  // -- keys --
  #onKey(event) {
    const ids = [...this.#shells.keys()];
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && event.target.getAttribute("role") === "tab") {
      event.preventDefault();
      const to = ids[(ids.indexOf(this.#current) + step + ids.length) % ids.length];
      this.#select(to);
      this.#shells.get(to).tab.focus();
    }
  }

  #openFinder() {
    this.#finder.hidden = false;
    this.#find.select();
    this.#find.focus();
  }

  #onFindKey(event) {
    const screen = this.#shells.get(this.#current)?.screen;
    if (event.key === "Enter") this.#find.classList.toggle("none", !screen?.find(this.#find.value, event.shiftKey));
    if (event.key !== "Escape") return;
    event.preventDefault();
    this.#finder.hidden = true;
    screen?.focus();
  }
}
