/**
 * The sidebar as a drawer on narrow screens: what is out of sight, it or the page under it, is out of reach of keyboard
 * and screen reader.
 */

import { byId } from "../shared/dom.js";

const NARROW = matchMedia("(max-width: 760px)");

export class Drawer {
  #sidebar = byId("sidebar");
  #opener = byId("drawer-open");
  #scrim = byId("scrim");
  #main = byId("main");
  #open = false;

  constructor() {
    this.#opener.addEventListener("click", () => this.toggle(true));
    byId("drawer-close").addEventListener("click", () => this.toggle(false));
    this.#scrim.addEventListener("click", () => this.toggle(false));
    NARROW.addEventListener("change", () => this.toggle(false));
    this.toggle(false);
  }

  get open() {
    return this.#open;
  }

  /** @param {boolean} open */
  toggle(open) {
    const had = this.#open;
    this.#open = open && NARROW.matches;
    this.#sidebar.classList.toggle("open", this.#open);
    this.#sidebar.inert = NARROW.matches && !this.#open;
    this.#main.inert = this.#open;
    this.#scrim.hidden = !this.#open;
    this.#opener.setAttribute("aria-expanded", String(this.#open));
    if (this.#open) byId("drawer-close").focus();
    else if (had) this.#opener.focus();
  }
}
