/** The way to the panel: its button and its addresses. The panel itself is loaded when it is first asked for. */

import { addressOf } from "../shared/address.js";
import { byId, loadStyles } from "../shared/dom.js";
import { TABS } from "./tabs.js";

export class PanelDoor {
  #client;
  #onProblem;
  #button = byId("panel-open");
  #session = null;
  #panel = null;

  /** @param {object} client @param {{onProblem: (error: Error) => void}} hooks */
  constructor(client, { onProblem }) {
    this.#client = client;
    this.#onProblem = onProblem;
    this.#button.addEventListener("click", () => this.#toggle());
  }

  /** Whether leaving the page would lose work. */
  get unsaved() {
    return Boolean(this.#panel?.unsaved);
  }

  /** The page shows another session, or none: an open panel goes along, where it is beside the chat. @param {string | null} session */
  enter(session) {
    this.#session = session;
    this.#button.hidden = !session || TABS.length === 0;
    if (this.#panel && !this.#panel.follow(session)) this.#panel.close();
  }

  /** What the address asks for. @param {string} tab  empty: nothing @param {string} rest @returns {Promise<void>} */
  async show(tab, rest) {
    if (!tab) this.#panel?.hide();
    else if (TABS.some(({ id }) => id === tab)) await this.#open(tab, rest);
  }

  /** The agent has done what it was asked. */
  runEnded() {
    this.#panel?.runEnded();
  }

  async #toggle() {
    if (this.#panel?.open) {
      this.#panel.hide();
      this.#went("", "", false);
    } else {
      await this.#open("", "", { focus: true });
    }
  }

  async #open(tab, rest, how) {
    const session = this.#session;
    try {
      const [{ Panel }] = await Promise.all([import("./panel.js"), loadStyles("panel/panel.css")]);
      if (!session || session !== this.#session) return;
      this.#panel ??= new Panel(this.#client, { went: (...where) => this.#went(...where) });
      this.#panel.show(session, tab, rest, how);
    } catch (error) {
      this.#onProblem(Object.assign(new Error("The panel could not be loaded. Check your connection, then try again.", { cause: error }), { code: "" }));
    }
  }

  /** @param {string} tab @param {string} rest @param {boolean} push */
  #went(tab, rest, push) {
    const hash = addressOf(this.#session, tab, rest);
    if (location.hash === hash) return;
    if (push) history.pushState(null, "", hash);
    else history.replaceState(null, "", hash);
  }
}
