/** By which a session's owner lets its sandbox reach a host, and takes that back: it asks whoever has the session (`allow-host`). */

import { element } from "../shared/dom.js";

const ALLOWED = "Allowed for this session.";

/**
 * @param {string} host
 * @returns {HTMLElement} whose `allow-host` event bubbles, with `detail` {host, allow, done}: `done` is called once it
 *   was tried; `showAllowed` says what became of it
 */
export function allowButton(host) {
  const button = element("button", { type: "button", className: "quiet", data: { testid: "allow-host" }, on: { click: ask } });
  const state = element("span", { role: "status" });
  const root = element("span", { className: "allow", data: { host } }, state, button);
  show(root, false);

  function ask() {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true"); // `disabled` would take the focus away.
    const done = () => button.removeAttribute("aria-disabled");
    const allow = root.dataset.allowed !== "true";
    root.dispatchEvent(new CustomEvent("allow-host", { bubbles: true, detail: { host, allow, done } }));
  }

  return root;
}

/** Has all buttons in `root` say what the session has now. @param {ParentNode} root @param {string[]} hosts */
export function showAllowed(root, hosts) {
  const allowed = new Set(hosts);
  for (const one of root.querySelectorAll(".allow")) show(one, allowed.has(one.dataset.host));
}

function show(root, allowed) {
  if (root.dataset.allowed === String(allowed)) return;
  root.dataset.allowed = String(allowed);
  const [state, button] = root.children;
  const { host } = root.dataset;
  state.textContent = allowed ? ALLOWED : "";
  button.textContent = allowed ? "Take back" : "Allow for this session";
  button.setAttribute("aria-label", allowed ? `Take back that ${host} is allowed` : `Allow ${host} for this session`);
}
