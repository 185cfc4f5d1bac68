/** What frames the conversation: the theme, the drawer on narrow screens, keys that work everywhere. */

import { byId } from "../shared/dom.js";
import { local } from "../shared/storage.js";

const THEME = "vaporforge.theme";
const NARROW = matchMedia("(max-width: 760px)");
const DARK = matchMedia("(prefers-color-scheme: dark)");

export function setUpTheme() {
  const button = byId("theme");
  const root = document.documentElement;
  const show = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : DARK.matches;
    root.classList.toggle("dark", dark);
    const label = dark ? "Use the light theme" : "Use the dark theme";
    button.setAttribute("aria-label", label);
    button.title = label;
    return dark;
  };
  button.addEventListener("click", () => {
    const next = root.classList.contains("dark") ? "light" : "dark";
    root.dataset.theme = next;
    local.set(THEME, next);
    show();
  });
  DARK.addEventListener("change", show);
  show();
}

/** The sidebar as a drawer: what is out of sight, it or the page under it, is out of reach of keyboard and screen reader. */
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

/** @param {{onNew: () => void, onEscape: () => void}} actions */
export function setUpKeys({ onNew, onEscape }) {
  const mac = /Mac|iPhone|iPad/.test(navigator.platform);
  byId("new-key").textContent = mac ? "⌘ K" : "Ctrl K";
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || byId("app").hidden) return;
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      event.preventDefault();
      onNew();
    } else if (event.key === "Escape" && !event.isComposing) {
      onEscape();
    }
  });
}
