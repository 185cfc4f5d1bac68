/** Who is logged in: the token from the address bar or the form, kept in this browser, never left in an address. */

import { confirmed } from "../shared/confirm.js";
import { byId } from "../shared/dom.js";
import { explain } from "../shared/format.js";
import { isComposing } from "../shared/keys.js";
import { local, own, tab, under } from "../shared/storage.js";
import { isToken, judgeOffer, subjectOf, tokenIn, tokenOf } from "./token.js";

const KEY = `vaporforge.token${under}`;

/** Nothing that one user wrote is another's to find. */
function forget() {
  own.clear();
  tab.clear();
}

export class Login {
  #onToken;
  #onLeave;
  #accepts;
  #dialog = byId("login");
  /** The token before the last one, while the gateway has not taken that one: to go back to, where it does not. */
  #before = "";
  /** Whether the gateway has taken a token since the page was loaded: there is something to read beside the sign-in. */
  #reading = false;
  /** Whether a token is asked for. */
  #asking = false;
  /** Goes on with what waits for another token. */
  #renewed = () => {};
  /** A token that someone else's page or mail brought, until the reader has decided. */
  #offered = null;
  /** Whose page this is by now; empty when nobody's. */
  #user = "";

  /**
   * @param {object} hooks
   * @param {() => void} hooks.onToken  a token came, of the same user or when there was none
   * @param {() => void} hooks.onLeave  the page is about to begin anew: nothing is kept or asked for any more
   * @param {(token: string) => Promise<boolean>} hooks.accepts  asks the gateway for a token that is not kept
   */
  constructor({ onToken, onLeave, accepts }) {
    this.#onToken = onToken;
    this.#onLeave = onLeave;
    this.#accepts = accepts;
    // What waits needs a token, and the browser closes a modal dialog at a second Escape whatever becomes of `cancel`.
    this.#dialog.addEventListener("cancel", (event) => event.preventDefault());
    this.#dialog.addEventListener("close", () => this.#asking && this.raise());
    byId("login-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = byId("token");
      const token = tokenOf(field.value);
      if (!isToken(token)) return this.show("That is no token: it has three parts with dots between them.");
      field.value = "";
      return this.#accept(token);
    });
    byId("token").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || isComposing(event)) return;
      event.preventDefault(); // A token has no lines.
      byId("login-form").requestSubmit();
    });
    addEventListener("storage", ({ key }) => key === KEY && this.#changedElsewhere());
    const offered = this.#fromAddress();
    if (offered) local.set(KEY, offered); // Its user's, or there was none.
  }

  get token() {
    return local.get(KEY) ?? "";
  }

  /** Moves `#token=…` out of the address bar, if it is there, and signs in with it. */
  takeFromAddress() {
    const offered = this.#fromAddress();
    if (offered) this.#accept(offered);
    else this.#ask();
  }

  /** Whether there is a token that may still be good; otherwise says what is missing. */
  ready() {
    if (!this.token) {
      this.show("Open the address that scripts/up printed, or paste a token.");
      return false;
    }
    if (!isToken(this.token)) {
      this.show("That was no token. Open the address that scripts/up printed, or paste one.");
      return false;
    }
    this.#user = subjectOf(this.token);
    byId("user").textContent = byId("user").title = this.#user;
    this.#hide();
    this.#ask();
    return true;
  }

  /** The gateway has taken the token. */
  taken() {
    this.#reading = true;
    this.#before = "";
  }

  /**
   * The gateway refused the token, maybe in mid-answer: asks for another one, beside what is being read. Whatever waits
   * for this goes on where it was, as the same user; another one's page begins anew.
   *
   * @param {Error} error @returns {Promise<true>}
   */
  renew(error) {
    if (this.#before) {
      local.set(KEY, this.#before); // An address brought a token that is none.
      this.#before = "";
      return Promise.resolve(true);
    }
    const renewed = new Promise((resolve) => {
      this.#renewed = () => resolve(true);
    });
    this.show(explain(error.message, error.code));
    return renewed;
  }

  /** @param {string} why */
  show(why) {
    this.#asking = true;
    this.#dialog.classList.toggle("beside", this.#reading);
    byId("app").hidden = !this.#reading;
    this.raise();
    const said = byId("login-why");
    if (said.textContent !== why) said.textContent = why; // Said where it is seen: a hidden one tells no screen reader.
    if (!this.#reading) byId("token").focus();
  }

  /** Shows the sign-in, if it is on, above a modal dialog: what lies under one cannot be reached. */
  raise() {
    const dialog = this.#dialog;
    if (!this.#asking || dialog.matches(":modal")) return;
    if (this.#reading && document.querySelector("dialog:modal")) {
      dialog.close();
      dialog.showModal();
      byId("token").focus();
    } else {
      dialog.setAttribute("open", ""); // `show()` would take the focus from what is typed.
    }
  }

  #hide() {
    const focused = !this.#dialog.matches(":modal") && this.#dialog.contains(document.activeElement);
    this.#asking = false;
    this.#dialog.close();
    byId("login-why").textContent = "";
    byId("app").hidden = false;
    if (focused) byId("prompt").focus();
  }

  /** Forgets the token and what was written: drafts, prompts on their way. */
  signOut() {
    this.#onLeave();
    local.remove(KEY);
    forget();
    this.#leave();
  }

  /** Goes on with a clean page: nothing of the user so far stays in memory. */
  #leave() {
    location.replace(location.pathname);
  }

  /** @returns {string | null} a token from the address, to be taken; one that needs a question waits in `#offered` */
  #fromAddress() {
    const token = tokenIn(location.hash);
    if (token === null) return null;
    history.replaceState(null, "", location.pathname + location.search);
    const verdict = judgeOffer(token, this.token);
    if (verdict === "ask") this.#offered = token;
    if (verdict === "take" && isToken(this.token) && token !== this.token) this.#before = this.token;
    return verdict === "take" ? token : null;
  }

  #accept(token) {
    const other = isToken(this.token) && subjectOf(this.token) !== subjectOf(token);
    if (other) this.#onLeave();
    local.set(KEY, token);
    if (other) {
      forget();
      this.#leave();
    } else {
      this.#enter();
    }
  }

  #enter() {
    this.#onToken();
    this.#renewed();
  }

  async #ask() {
    const offered = this.#offered;
    if (!offered) return;
    this.#offered = null;
    const [good, kept] = await Promise.all([this.#accepts(offered), this.#accepts(this.token)]);
    if (!good) return;
    if (!kept) {
      this.#accept(offered);
      return;
    }
    const dialog = byId("switch");
    byId("switch-text").textContent =
      `The address that was opened signs in “${subjectOf(offered)}”. You are signed in as “${subjectOf(this.token)}”.`;
    if (await confirmed(dialog)) this.#accept(offered);
  }

  /** Another tab signed in or out. */
  #changedElsewhere() {
    if (this.#user && subjectOf(this.token) !== this.#user) {
      this.#onLeave();
      // A tab that slept hears of it late: what is kept by then is of whoever came since.
      if (this.token) tab.clear();
      else forget();
      this.#leave();
    } else if (this.token && this.#dialog.open) {
      this.#enter();
    }
  }
}
