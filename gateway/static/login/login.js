/** Who is logged in: the token from the address bar or the form, kept in this browser, never left in an address. */

import { byId } from "../shared/dom.js";
import { local, own, tab } from "../shared/storage.js";
import { expiryOf, judgeOffer, subjectOf, tokenIn } from "./token.js";

const KEY = "vaporforge.token";

/** Nothing that one user wrote is another's to find. */
function forget() {
  own.clear();
  tab.clear();
}

export class Login {
  #onToken;
  /** A token that someone else's page or mail brought, until the reader has decided. */
  #offered = null;
  /** Whose page this is by now; empty when nobody's. */
  #user = "";

  /** @param {() => void} onToken  a token came, of the same user or when there was none */
  constructor(onToken) {
    this.#onToken = onToken;
    byId("login-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const field = byId("token");
      // People paste the whole address that `scripts/up` printed, too.
      const token = field.value.trim().replace(/^.*#token=/, "").split("&")[0];
      if (!expiryOf(token)) return this.show("That is no token: it has three parts with dots between them.");
      field.value = "";
      return this.#accept(token);
    });
    addEventListener("storage", ({ key }) => key === KEY && this.#changedElsewhere());
    const offered = this.#fromAddress();
    if (offered) this.#keep(offered);
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
    if (!expiryOf(this.token)) {
      this.show("That was no token. Open the address that scripts/up printed, or paste one.");
      return false;
    }
    if (expiryOf(this.token) < Date.now()) {
      this.show("Your token has expired. Paste a new one.");
      return false;
    }
    this.#user = subjectOf(this.token);
    byId("user").textContent = byId("user").title = this.#user;
    this.#showLogin(false);
    this.#ask();
    return true;
  }

  /** @param {string} why */
  show(why) {
    byId("login-why").textContent = why;
    this.#showLogin(true);
    byId("token").focus();
  }

  /** Forgets the token and what was written: drafts, prompts on their way. The page goes on with `leave`. */
  signOut() {
    local.remove(KEY);
    forget();
  }

  /** Goes on with a clean page: nothing of the user so far stays in memory. */
  leave() {
    location.replace(location.pathname);
  }

  /** @returns {string | null} a token from the address, to be taken; one that needs a question waits in `#offered` */
  #fromAddress() {
    const token = tokenIn(location.hash);
    if (token === null) return null;
    history.replaceState(null, "", location.pathname + location.search);
    const verdict = judgeOffer(token, this.token, Date.now());
    if (verdict === "ask") this.#offered = token;
    return verdict === "take" ? token : null;
  }

  /** @returns {boolean} whether the user is another one than before */
  #keep(token) {
    const before = this.token;
    local.set(KEY, token);
    const changed = Boolean(before) && subjectOf(before) !== subjectOf(token);
    if (changed) forget();
    return changed;
  }

  #accept(token) {
    if (this.#keep(token)) this.leave();
    else this.#onToken();
  }

  async #ask() {
    const offered = this.#offered;
    if (!offered) return;
    this.#offered = null;
    const dialog = byId("switch");
    byId("switch-text").textContent =
      `The address that was opened signs in “${subjectOf(offered)}”. You are signed in as “${subjectOf(this.token)}”.`;
    dialog.returnValue = "";
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    if (dialog.returnValue === "yes") this.#accept(offered);
  }

  /** Another tab signed in or out. */
  #changedElsewhere() {
    if (this.#user && subjectOf(this.token) !== this.#user) {
      forget();
      this.leave();
    } else if (this.token && byId("app").hidden) {
      this.#onToken();
    }
  }

  #showLogin(shown) {
    byId("login").hidden = !shown;
    byId("app").hidden = shown;
  }
}
