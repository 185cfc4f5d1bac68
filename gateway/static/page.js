/** The page: who is logged in, which session is open, and everything wired together. */

import { Chat, DEFAULT_TITLE } from "./chat.js";
import { createClient } from "./client.js";
import { Composer } from "./composer.js";
import { Dock } from "./dock.js";
import { byId, element } from "./dom.js";
import { Login } from "./login.js";
import { Sessions } from "./sessions.js";
import { SettingsDialog } from "./settings.js";
import { Drawer, setUpKeys, setUpTheme } from "./shell.js";
import { Transcript } from "./transcript.js";
import { explain } from "./words.js";

const EXAMPLES = [
  ["Explain", "Write a detailed explanation of how WebSocket connections work"],
  ["Write a file", "Create a file called test.txt in /workspace with 'Hello from WS streaming'"],
  ["Look around", "List files"],
];

class Page {
  #login = new Login(() => this.#enter());
  #client = createClient({ token: () => this.#login.token });
  #transcript = new Transcript();
  #sessions = new Sessions(this.#client.api, {
    onGone: (id) => id === this.#chat?.id && this.#go(null),
    onProblem: (error) => this.#problem(error),
  });
  #dock = new Dock({ onCancel: (turn) => this.#chat?.cancel(turn) });
  #composer = new Composer(
    (prompt, mode) => this.#send(prompt, mode),
    (message) => this.#notice(message),
  );
  #settings = new SettingsDialog(this.#client.api);
  #drawer = new Drawer();
  #chat = null;
  #opening = false;
  #reachable = true;

  start() {
    setUpTheme();
    setUpKeys({ onNew: () => this.#create(), onEscape: () => this.#escape() });
    byId("new-session").addEventListener("click", () => this.#create());
    byId("skip").addEventListener("click", () => this.#composer.focus());
    byId("settings-open").addEventListener("click", () => this.#settings.open());
    byId("sign-out").addEventListener("click", () => this.#signOut());
    byId("earlier").addEventListener("click", () => this.#guard(() => this.#chat.earlier()));
    byId("examples").replaceChildren(
      ...EXAMPLES.map(([title, prompt]) =>
        element(
          "li",
          {},
          element(
            "button",
            { type: "button", data: { testid: "example" }, on: { click: () => this.#send(prompt, this.#mode()) } },
            element("strong", {}, title),
            element("span", {}, prompt),
          ),
        ),
      ),
    );
    addEventListener("hashchange", () => {
      if (this.#login.takeFromAddress()) this.#enter();
      else if (!byId("app").hidden) this.#route();
    });
    this.#enter();
  }

  /** With a token: shows the sessions and opens the one in the address. */
  async #enter() {
    if (!this.#login.ready()) return;
    this.#guard(async () => {
      byId("version").textContent = `v${(await this.#client.api.version()).version}`;
    });
    this.#route();
    await this.#guard(() => this.#sessions.refresh());
  }

  #signOut() {
    this.#login.signOut();
    this.#close();
    location.replace(location.pathname); // A clean page: nothing of this user stays in memory.
  }

  #route() {
    const id = /^#\/s\/([\w-]{1,64})$/.exec(location.hash)?.[1] ?? null;
    if (id === (this.#chat?.id ?? null) && !this.#opening) {
      if (!id) this.#show(null);
      return;
    }
    this.#show(id);
  }

  /** @param {string | null} id */
  #go(id) {
    const hash = id ? `#/s/${id}` : "#/";
    if (location.hash !== hash) history.pushState(null, "", hash);
    return this.#show(id);
  }

  #close() {
    this.#chat?.close();
    this.#chat = null;
  }

  /** Opens a session, or the empty page. @param {string | null} id */
  async #show(id) {
    this.#close();
    this.#notice("");
    this.#drawer.toggle(false);
    this.#transcript.clear();
    this.#sessions.select(id);
    this.#composer.show(id ?? "");
    this.#setTitle(id ? "" : DEFAULT_TITLE);
    this.#opening = Boolean(id);
    this.#update();
    if (!id) return;
    const chat = new Chat(this.#client, this.#transcript, id, {
      changed: () => this.#chat === chat && this.#update(),
      onSession: (session) => {
        this.#sessions.learn(session);
        if (this.#chat === chat) this.#setTitle(session.title);
      },
      onProblem: (error) => this.#chat === chat && this.#problem(error),
    });
    this.#chat = chat;
    await this.#guard(() => chat.open());
    if (this.#chat !== chat) return;
    this.#opening = false;
    this.#update();
  }

  #create() {
    return this.#guard(async () => {
      const session = await this.#sessions.create();
      await this.#go(session.id);
      this.#composer.focus();
    });
  }

  async #send(prompt, mode) {
    this.#notice("");
    if (!this.#chat) await this.#create();
    if (this.#chat) this.#chat.send(prompt, mode);
    else this.#composer.fill(prompt);
    this.#composer.focus();
  }

  #mode() {
    return new FormData(byId("composer")).get("mode");
  }

  #escape() {
    if (this.#drawer.open) this.#drawer.toggle(false);
    else this.#chat?.stop();
  }

  #setTitle(title) {
    byId("title").textContent = title;
    document.title = title && title !== DEFAULT_TITLE ? `${title} · VaporForge` : "VaporForge";
  }

  #update() {
    this.#dock.show(this.#chat, this.#reachable);
    byId("empty").hidden = this.#opening || !this.#transcript.empty;
    byId("earlier").hidden = !this.#chat?.hasEarlier;
  }

  async #guard(action) {
    try {
      await action();
    } catch (error) {
      this.#problem(error);
    }
  }

  /** Says what went wrong and what to do, where the reader looks. @param {Error | null} error  null: all is well */
  #problem(error) {
    const away = error?.status === 0;
    if (this.#reachable === away) {
      this.#reachable = !away;
      if (!away) this.#notice("");
    }
    if (error?.code === "unauthorized") {
      this.#close();
      this.#login.show("Your token is not valid (any more). Paste a new one.");
    } else if (error && error.prompt && this.#composer.empty) {
      this.#composer.fill(error.prompt);
    } else if (error && !error.told) {
      this.#notice(explain(error.message, error.code));
    }
    if (error?.code === "session-not-found" && !error.told) this.#go(null).then(() => this.#notice(explain(error.message, error.code)));
    this.#update();
  }

  #notice(text) {
    const notice = byId("notice");
    notice.textContent = text;
    notice.hidden = !text;
  }
}

new Page().start();
dispatchEvent(new Event("vaporforge-started"));
