/** The settings dialog: the model's credential, which is never shown again, git hosts, and the MCP servers as JSON. */

import { parseJson, toJson } from "../client/json.js";
import { byId } from "../shared/dom.js";
import { explain } from "../shared/format.js";
import { isComposing } from "../shared/keys.js";
import { GitHosts } from "./git-hosts.js";

/** @param {string} text @returns {object} @throws {Error} with a sentence that says what is wrong and where */
export function parseServers(text) {
  if (!text.trim()) return {};
  let value;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${error.message}.`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Error('MCP servers are an object, such as {"docs": {"type": "http", "url": "https://…"}}.');
  }
  return value;
}

export class SettingsDialog {
  #api;
  #dialog = byId("settings");
  #credential = byId("credential");
  #clear = byId("credential-clear");
  #mcp = byId("mcp");
  #error = byId("settings-error");
  #save = byId("settings-save");
  #git = new GitHosts();
  #cleared = false;
  /** What the MCP servers were when they came. */
  #given = "";

  constructor(api) {
    this.#api = api;
    for (const button of this.#dialog.querySelectorAll("[data-close]")) {
      button.addEventListener("click", () => this.#dialog.close());
    }
    // A click counts as beside the dialog only if it also began there: text is selected with drags that end anywhere.
    let beside = false;
    this.#dialog.addEventListener("pointerdown", ({ target }) => {
      beside = target === this.#dialog;
    });
    this.#dialog.addEventListener("click", ({ target }) => {
      if (beside && target === this.#dialog && !this.#holdsBack()) this.#dialog.close();
    });
    // Both: the browser closes a dialog at a second Escape whatever becomes of its `cancel`, and on phones by a gesture.
    this.#dialog.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && (isComposing(event) || this.#holdsBack())) event.preventDefault();
    });
    this.#dialog.addEventListener("cancel", (event) => {
      if (this.#holdsBack()) event.preventDefault();
    });
    this.#clear.addEventListener("click", () => {
      this.#cleared = true;
      this.#credential.value = "";
      this.#tell({ set: false });
      this.#credential.focus();
    });
    this.#mcp.addEventListener("input", () => this.#check());
    byId("settings-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  /** Whether something typed would be lost; says so then. */
  #holdsBack() {
    const changed = this.#credential.value.trim() !== "" || this.#cleared || this.#mcp.value !== this.#given || this.#git.changed;
    if (changed && !this.#mcp.readOnly) this.#error.textContent = "Your changes are not saved: choose Save, or Cancel to drop them.";
    return changed && !this.#mcp.readOnly;
  }

  async open() {
    this.#error.textContent = "";
    this.#mcp.removeAttribute("aria-invalid");
    this.#credential.value = "";
    this.#cleared = false;
    this.#allow(false);
    this.#dialog.showModal();
    try {
      const { mcpServers, credential, git } = await this.#api.settings();
      this.#mcp.value = Object.keys(mcpServers).length ? toJson(mcpServers, 2) : "";
      this.#given = this.#mcp.value;
      this.#tell(credential);
      this.#git.show(git);
      this.#allow(true);
    } catch (error) {
      this.#error.textContent = explain(error.message, error.code);
    }
  }

  /** What is typed before the settings have come would be written over by them. */
  #allow(allowed) {
    this.#mcp.readOnly = this.#credential.readOnly = !allowed;
    this.#git.allow(allowed);
    this.#save.disabled = !allowed;
  }

  #tell({ set }) {
    byId("credential-hint").textContent = set
      ? "One is set. It is kept encrypted and not shown again; type a new one to replace it."
      : this.#cleared
        ? "It is forgotten when you save."
        : "None is set. Agents that ask a model need one; the demo agent does not.";
    this.#clear.hidden = !set;
  }

  /** @returns {object | null} the servers, or null when the text is no such thing (which is shown) */
  #check() {
    try {
      const servers = parseServers(this.#mcp.value);
      this.#error.textContent = "";
      this.#mcp.removeAttribute("aria-invalid");
      return servers;
    } catch (error) {
      this.#error.textContent = error.message;
      this.#mcp.setAttribute("aria-invalid", "true");
      return null;
    }
  }

  async #submit() {
    const mcpServers = this.#check();
    if (mcpServers === null) return this.#mcp.focus();
    const settings = { mcpServers };
    const typed = this.#credential.value.trim();
    if (typed) settings.credential = typed;
    else if (this.#cleared) settings.credential = null;
    if (this.#git.changed) settings.git = this.#git.value;
    this.#save.disabled = true;
    try {
      await this.#api.saveSettings(settings);
      this.#dialog.close();
    } catch (error) {
      this.#error.textContent = explain(error.message, error.code);
      this.#git.mark(error.field);
      if (error.field?.startsWith("mcpServers")) this.#mcp.setAttribute("aria-invalid", "true");
    } finally {
      this.#save.disabled = false;
    }
    return undefined;
  }
}
