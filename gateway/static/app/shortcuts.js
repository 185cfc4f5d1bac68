/** Keys that work everywhere in the page, but not under a dialog. */

import { byId } from "../shared/dom.js";
import { isApple, isComposing } from "../shared/keys.js";

/** @param {{onNew: () => void, onEscape: () => void}} actions */
export function setUpShortcuts({ onNew, onEscape }) {
  byId("new-key").textContent = isApple() ? "⌘ K" : "Ctrl K";
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || byId("app").hidden) return;
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) {
      event.preventDefault();
      onNew();
    } else if (event.key === "Escape" && !isComposing(event)) {
      onEscape();
    }
  });
}
