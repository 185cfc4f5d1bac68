/** The page: who is logged in, which session is open, and everything wired together. */

import { Drawer } from "./app/drawer.js";
import { setUpShortcuts } from "./app/shortcuts.js";
import { setUpTheme } from "./app/theme.js";
import { UpdateCheck } from "./app/update-check.js";
import { Chat } from "./chat/chat.js";
import { createClient, isSignIn } from "./client/client.js";
import { setUpAttachments } from "./composer/attachments.js";
import { Composer } from "./composer/composer.js";
import { RunStatus } from "./composer/run-status.js";
import { Login } from "./login/login.js";
import { PanelDoor } from "./panel/door.js";
import { SessionList } from "./sessions/session-list.js";
import { SettingsDialog } from "./settings/settings-dialog.js";
import { addressOf, readAddress } from "./shared/address.js";
import { confirmed } from "./shared/confirm.js";
import { announce, byId, element, refocus } from "./shared/dom.js";
import { explain } from "./shared/format.js";
import { own, tab } from "./shared/storage.js";
import { DEFAULT_TITLE } from "./shared/titles.js";
import { showAllowed } from "./transcript/allow-button.js";
import { Transcript } from "./transcript/transcript.js";

const EXAMPLES = [
  ["Explain", "Write a detailed explanation of how WebSocket connections work"],
  ["Write a file", "Create a file called test.txt in /workspace with 'Hello from WS streaming'"],
  ["Look around", "List files"],
];

/** What a look at a session may say that is not there for this reader. */
const GONE = new Set(["session-not-found", "not-owner"]);

/** Whether the gateway takes a token that is not kept; one that it cannot be asked about may be good. */
async function accepts(token) {
  const { api } = createClient({ token });
  return api.listSessions({ limit: 1 }).then(
    () => true,
    ({ code }) => !isSignIn(code),
  );
}

class Page {
  #login = new Login({ onToken: () => this.#enter(), onLeave: () => this.#leave(), accepts });
  #client = createClient({
    token: () => this.#login.token,
    renew: (error) => this.#login.renew(error),
    memory: tab,
  });
  #transcript = new Transcript();
  #sessionList = new SessionList(this.#client.api, {
    onGone: (id) => {
      own.clear(`${id}.`);
      if (id === this.#chat?.id) this.#go(null);
    },
    onRenamed: (session) => session.id === this.#chat?.id && this.#chat.renamed(session),
    onProblem: (error) => this.#problem(error),
    onReached: () => this.#reached(),
  });
  #runStatus = new RunStatus({ onCancel: (turn) => this.#chat?.cancel(turn) });
  #composer = new Composer(
    (prompt, mode) => this.#send(prompt, mode),
    (message) => this.#notice(message),
  );
  #settings = new SettingsDialog(this.#client.api);
  #drawer = new Drawer();
  #panel = new PanelDoor(this.#client, { onProblem: (error) => this.#problem(error) });
  #updateCheck = new UpdateCheck();
  #chat = null;
  /** The session that is being made; asked for twice it is one. */
  #creating = null;
  /** What was open when it was last asked for, and whether a prompt waits for it. */
  #awaited = null;
  #reachable = true;
  /** Whether a run was on when that was looked at last. */
  #wasOn = false;
  /** Whether what the notice says ends with the next look at the gateway that goes well. */
  #passing = false;

  start() {
    setUpTheme();
    setUpShortcuts({ onNew: () => this.#create(), onEscape: () => this.#escape() });
    byId("new-session").addEventListener("click", () => this.#create());
    byId("skip").addEventListener("click", () => this.#composer.focus());
    byId("settings-open").addEventListener("click", () => {
      this.#settings.open();
      this.#login.raise();
    });
    byId("sign-out").addEventListener("click", () => this.#login.signOut());
    byId("earlier").addEventListener("click", () => this.#earlier());
    setUpAttachments((files) => this.#attach(files));
    byId("examples").replaceChildren(
      ...EXAMPLES.map(([title, prompt]) =>
        element(
          "li",
          {},
          element(
            "button",
            { type: "button", data: { testid: "example" }, on: { click: () => this.#send(prompt, this.#composer.mode) } },
            element("strong", {}, title),
            element("span", {}, prompt),
          ),
        ),
      ),
    );
    byId("transcript").addEventListener("allow-host", ({ detail }) => this.#allow(detail));
    byId("transcript").addEventListener("empty-files", ({ detail }) => this.#empty(detail));
    addEventListener("beforeunload", (event) => (this.#chat?.unsent || this.#panel.unsaved) && event.preventDefault());
    addEventListener("pagehide", () => this.#chat?.keepPlace());
    addEventListener("hashchange", () => {
      this.#login.takeFromAddress();
      if (!byId("app").hidden) this.#route();
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
    await this.#guard(async () => {
      await this.#sessionList.refresh();
      this.#login.taken();
    });
  }

  #route() {
    const { session, tab, rest } = readAddress(location.hash);
    const other = !session || session !== this.#chat?.id;
    if (other) this.#show(session);
    if (tab || !other) this.#panel.show(tab, rest);
  }

  /** @param {string | null} id */
  #go(id) {
    const hash = addressOf(id);
    if (location.hash !== hash) history.pushState(null, "", hash);
    this.#show(id);
  }

  #close() {
    this.#chat?.close();
    this.#chat = null;
  }

  /** Nobody is signed in any more. */
  #leave() {
    this.#close();
    this.#panel.enter(null);
  }

  /** Opens a session, or the empty page. @param {string | null} id */
  #show(id) {
    this.#close();
    this.#notice("");
    this.#drawer.toggle(false);
    this.#transcript.clear();
    this.#sessionList.select(id);
    this.#composer.show(id ?? "");
    this.#setTitle(id ? "" : DEFAULT_TITLE);
    if (id) this.#chat = this.#open(id);
    this.#panel.enter(id);
    this.#update();
  }

  #open(id) {
    const chat = new Chat(this.#client, this.#transcript, id, {
      changed: () => this.#chat === chat && this.#update(),
      onSession: (session) => {
        this.#sessionList.learn(session);
        if (this.#chat !== chat) return;
        this.#setTitle(session.title);
        this.#showAllowed(session);
      },
      onProblem: (error) => this.#chat === chat && this.#problem(error),
      onMode: (mode) => this.#chat === chat && this.#composer.suggestMode(mode),
      onLooked: (error) => this.#chat === chat && this.#looked(error),
    });
    chat.open();
    return chat;
  }

  /**
   * A session that nothing was asked in yet, open: one that is there, or a new one.
   *
   * @param {{prompted?: boolean}} how  `prompted`: a prompt waits for it, whatever is open by then
   * @returns {Promise<Chat | undefined>} nothing where the reader has opened something else meanwhile
   */
  #create({ prompted = false } = {}) {
    this.#awaited = { from: this.#chat, prompted: prompted || Boolean(this.#awaited?.prompted) };
    this.#creating ??= this.#guard(async () => {
      const open = this.#transcript.empty && this.#sessionList.isUnused(this.#chat?.id);
      if (!open) {
        const { id } = (await this.#sessionList.unused()) ?? (await this.#sessionList.create());
        if (this.#chat !== this.#awaited.from && !this.#awaited.prompted) return undefined;
        this.#go(id);
      }
      this.#composer.focus();
      return this.#chat;
    }).finally(() => {
      this.#creating = this.#awaited = null;
    });
    return this.#creating;
  }

  /** @returns {Promise<boolean>} whether the prompt was taken */
  async #send(prompt, mode) {
    this.#notice("");
    const chat = this.#chat ?? (await this.#create({ prompted: true }));
    if (chat) this.#composer.suggestMode(mode);
    if (chat) chat.send(prompt, mode);
    else if (this.#composer.empty) this.#composer.fill(prompt);
    this.#composer.focus();
    return Boolean(chat);
  }

  /** @param {File[]} files  that go with the next prompt */
  async #attach(files) {
    this.#notice("");
    const chat = this.#chat ?? (await this.#create({ prompted: true }));
    if (!chat) return;
    await this.#guard(async () => {
      const { attach } = await import("./files/attach.js");
      const { id: session } = chat;
      const named = (name) => this.#composer.mention(session, name);
      await attach(files, { session, client: this.#client, place: byId("composer"), named });
    });
  }

  async #earlier() {
    await this.#guard(() => this.#chat.earlier());
    this.#showAllowed(this.#chat?.session);
    // The button goes when there is no more, and would take the focus with it.
    if (byId("earlier").hidden) refocus(byId("earlier"), byId("scroller"), { preventScroll: true });
  }

  /** @param {{host: string, allow: boolean, done: () => void}} asked */
  async #allow({ host, allow, done }) {
    await this.#guard(() => this.#chat.allowHost(host, allow));
    done();
  }

  #showAllowed(session) {
    showAllowed(byId("transcript"), session?.egressHosts ?? []);
  }

  /** @param {{done: (emptied: boolean) => void}} asked */
  async #empty({ done }) {
    const chat = this.#chat;
    const emptied =
      (await confirmed(byId("confirm-empty"))) &&
      (await this.#guard(async () => {
        await chat.emptyFiles();
        announce("The workspace is empty.");
        return true;
      }));
    done(emptied === true);
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
    this.#runStatus.show(this.#chat, this.#reachable);
    const opening = this.#chat !== null && this.#chat.session === null;
    byId("empty").hidden = opening || !this.#transcript.empty;
    byId("earlier").hidden = !this.#chat?.hasEarlier;
    const on = Boolean(this.#chat?.active);
    if (this.#wasOn && !on) this.#panel.runEnded();
    this.#wasOn = on;
  }

  async #guard(action) {
    try {
      return await action();
    } catch (error) {
      return this.#problem(error);
    }
  }

  /**
   * Says what went wrong and what to do, where the reader looks.
   *
   * @param {Error} error @param {{passing?: boolean}} how  `passing`: it is over with the next look that goes well
   */
  #problem(error, { passing = false } = {}) {
    this.#reachable = error.status !== 0;
    // A prompt that was refused is still to be seen among the messages, unless they go.
    if (error.prompt && this.#composer.empty) this.#composer.giveBack(error.prompt);
    if (!error.told) {
      this.#notice(explain(error.message, error.code), { passing: passing || !this.#reachable });
    }
    this.#update();
  }

  /** How the last look at the open session went. @param {Error | null} error */
  #looked(error) {
    if (GONE.has(error?.code)) {
      const written = [...this.#chat.takeBack(), this.#composer.text].filter(Boolean).join("\n\n");
      own.clear(`${this.#chat.id}.`);
      this.#sessionList.forget(this.#chat.id);
      this.#go(null);
      if (written) this.#composer.giveBack(written);
      this.#notice(explain(error.message, error.code));
    } else if (error) {
      this.#problem(error, { passing: true });
    } else {
      this.#reachable = true;
      if (this.#passing) this.#notice("");
      this.#update();
    }
  }

  /** The gateway answers; an open session is the better witness. */
  #reached() {
    this.#login.taken();
    if (!this.#chat) this.#looked(null);
    this.#updateCheck.look();
  }

  /** @param {string} text @param {{passing?: boolean}} how */
  #notice(text, { passing = false } = {}) {
    const notice = byId("notice");
    this.#passing = passing;
    if (notice.textContent !== text) notice.textContent = text; // An alert speaks at every write.
    notice.hidden = !text;
  }
}

new Page().start();
dispatchEvent(new Event("vaporforge-started"));
