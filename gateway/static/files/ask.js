/** Questions of the Files tab, in dialogs that are made when they are asked. */

import { element } from "../shared/dom.js";

/**
 * @param {{title: string, text?: string, value?: string, action: string, danger?: boolean, field?: string}} question
 *   `field`: the label of a text field with `value`; none: a yes or no
 * @returns {Promise<string | null>} what was written, or "yes"; null when it was left
 */
export async function ask({ title, text = "", value = "", action, danger = false, field = "" }) {
  const input = field ? element("input", { className: "field", value, spellcheck: false, autocapitalize: "off", aria: { label: field } }) : null;
  const dialog = element(
    "dialog",
    { className: "dialog small", aria: { label: title } },
    element(
      "form",
      { method: "dialog" },
      element("h2", {}, title),
      text ? element("p", {}, text) : null,
      input,
      element(
        "footer",
        {},
        element("button", { className: "secondary", type: "button", on: { click: () => dialog.close() } }, "Cancel"),
        element("button", { className: danger ? "danger" : "primary", value: "yes", data: { testid: "confirm" } }, action),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  if (input) {
    input.focus();
    const dot = value.lastIndexOf(".");
    input.setSelectionRange(0, dot > 0 ? dot : value.length);
  }
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  dialog.remove();
  if (dialog.returnValue !== "yes") return null;
  return input ? input.value.trim() || null : "yes";
}
