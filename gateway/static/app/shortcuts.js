/** Keys that work everywhere in the page, but not under a dialog. */

import { byId } from "../shared/dom.js";
import { isApple, isComposing } from "../shared/keys.js";

/** Whether a key asks for a new session. Control K edits in macOS's text fields. @param {KeyboardEvent} event @param {boolean} apple */
export function isNew(event, apple) {
  const [held, other] = apple ? [event.metaKey, event.ctrlKey] : [event.ctrlKey, event.metaKey];
  return event.key.toLowerCase() === "k" && held && !other && !event.altKey && !event.shiftKey;
}

/** @param {{onNew: () => void, onEscape: () => void}} actions */
export function setUpShortcuts({ onNew, onEscape }) {
  byId("new-key").textContent = isApple() ? "⌘ K" : "Ctrl K";
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || byId("app").hidden) return;
    if (isNew(event, isApple())) {
      event.preventDefault();
      if (!event.repeat) onNew();
    } else if (event.key === "Escape" && !isComposing(event)) {
      onEscape();
    }
  });
}
