/** The button by which a session's owner lets its sandbox reach a host: it asks whoever has the session (`allow-host`). */

import { element } from "../shared/dom.js";

/**
 * @param {string} host
 * @returns {HTMLButtonElement} whose `allow-host` event bubbles, with `detail` {host, done}: `done` is called with
 *   whether it is allowed now
 */
export function allowButton(host) {
  const button = element(
    "button",
    { type: "button", className: "quiet", data: { testid: "allow-host" }, on: { click: ask } },
    "Allow for this session",
  );
  button.setAttribute("aria-label", `Allow ${host} for this session`);

  function ask() {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true"); // `disabled` would take the focus away.
    button.dispatchEvent(new CustomEvent("allow-host", { bubbles: true, detail: { host, done } }));
  }

  function done(allowed) {
    if (allowed) {
      button.textContent = "Allowed for this session";
      button.setAttribute("aria-label", `${host} is allowed for this session`);
    } else {
      button.removeAttribute("aria-disabled");
    }
  }

  return button;
}
