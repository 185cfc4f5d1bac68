/** By which a session's owner deletes its files: it asks whoever has the session (`empty-files`). */

import { element } from "../shared/dom.js";

/** @returns {HTMLElement} whose `empty-files` event bubbles, with `detail` {done}: called with whether it was done */
export function emptyButton() {
  const button = element("button", { type: "button", className: "quiet", data: { testid: "empty-files" }, on: { click: ask } });
  button.textContent = "Empty the workspace…";

  function ask() {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true"); // `disabled` would take the focus away.
    button.dispatchEvent(new CustomEvent("empty-files", { bubbles: true, detail: { done } }));
  }

  function done(emptied) {
    if (emptied) {
      button.textContent = "Workspace emptied";
      button.setAttribute("aria-label", "The workspace of this session is empty");
    } else {
      button.removeAttribute("aria-disabled");
    }
  }

  return button;
}
