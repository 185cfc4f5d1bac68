/** Who is logged in: the token from the address bar or the form, kept in this browser, never left in an address. */

import { byId } from "./dom.js";

const KEY = "vaporforge.token";

/** When a JWT ends, in epoch ms; NaN when it does not say or is no JWT. Only the gateway judges whether it is good. */
export function expiryOf(token) {
  try {
    const body = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(body)).exp * 1000;
  } catch {
    return Number.NaN;
  }
}

export class Login {
  #onToken;

  /** @param {() => void} onToken  a token came: from the form, or with a new address */
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
    this.takeFromAddress();
  }

  get token() {
    return localStorage.getItem(KEY) ?? "";
  }

  /** Moves `#token=…` out of the address bar. @returns {boolean} whether there was one */
  takeFromAddress() {
    const match = /^#(?:.*&)?token=([^&]+)/.exec(location.hash);
    if (!match) return false;
    history.replaceState(null, "", location.pathname + location.search);
    localStorage.setItem(KEY, decodeURIComponent(match[1]));
    return true;
  }

  /** Whether there is a token that may still be good; otherwise says what is missing. */
  ready() {
    if (!this.token) {
      this.show("Open the address that scripts/up printed, or paste a token.");
      return false;
    }
    if (expiryOf(this.token) < Date.now()) {
      this.show("Your token has expired. Paste a new one.");
      return false;
    }
    this.#showLogin(false);
    return true;
  }

  /** @param {string} why */
  show(why) {
    byId("login-why").textContent = why;
    this.#showLogin(true);
    byId("token").focus();
  }

  signOut() {
    localStorage.removeItem(KEY);
  }

  #accept(token) {
    localStorage.setItem(KEY, token);
    this.#onToken();
  }

  #showLogin(shown) {
    byId("login").hidden = !shown;
    byId("app").hidden = shown;
  }
}
