/** A tool call as a card: its name and main argument, its input while it runs, its result when it is over. */

import { toJson } from "../client/json.js";
import { copyButton, element, icon } from "../shared/dom.js";
import { fileAddress } from "../shared/file-address.js";
import { asTerminalShows } from "../shared/terminal.js";

const MAIN_ARGUMENTS = ["command", "file_path", "path", "notebook_path", "pattern", "query", "url", "description", "prompt"];
const LABELS = { running: "running", done: "done", error: "failed" };

/** What a call is about, in one line. @param {unknown} input @returns {string} */
export function mainArgument(input) {
  if (input === null || typeof input !== "object") return typeof input === "string" ? input : "";
  const name = MAIN_ARGUMENTS.find((key) => typeof input[key] === "string" && input[key]);
  const value = name ? input[name] : Object.values(input).find((one) => typeof one === "string" && one);
  return value ? value.split("\n")[0].slice(0, 200) : "";
}

/** The same, as a link where it names a file of the workspace. */
function mainParts(input) {
  const text = mainArgument(input);
  const name = [input?.file_path, input?.notebook_path].find((path) => typeof path === "string" && path === text);
  const href = name ? fileAddress(name) : null;
  return [href ? element("a", { className: "file-link", href }, text) : text];
}

const asText = (value) => (typeof value === "string" ? value : toJson(value, 2));

export class ToolCard {
  /** @param {{id: string, name: string, input: unknown}} call @param {{open: boolean}} options */
  constructor({ name, input }, { open }) {
    this.state = "running";
    this.touched = false;
    this.badge = element("span", { className: "tool-state" });
    this.body = element("div", { className: "tool-body" }, ...inputParts(input));
    const summary = element(
      "summary",
      { on: { click: () => (this.touched = true) } },
      this.badge,
      element("span", { className: "tool-name" }, name),
      element("span", { className: "tool-main one-line", dir: "ltr" }, ...mainParts(input)),
      icon("chevron"),
    );
    this.root = element("details", { className: "card tool", open, data: { testid: "tool-card" } }, summary, this.body);
    this.#show("running");
  }

  /** @param {unknown} output @param {boolean} isError */
  finish(output, isError) {
    this.#show(isError ? "error" : "done");
    const text = asTerminalShows(asText(output ?? ""));
    this.body.append(
      text
        ? part(isError ? "Error" : "Result", text, "tool-output")
        : element("p", { className: "tool-label" }, "No output"),
    );
  }

  /** The run ended before the tool did. */
  abandon() {
    if (this.state !== "running") return;
    this.#show("error");
    this.body.append(element("p", { className: "tool-label" }, "Not finished"));
  }

  /** Makes room, unless the reader opened or closed it, or it failed. */
  fold() {
    if (this.state === "done" && !this.touched) this.root.open = false;
  }

  #show(state) {
    this.state = state;
    this.root.dataset.state = state;
    this.badge.replaceChildren(
      state === "running"
        ? element("span", { className: "spinner" })
        : icon(state === "done" ? "check" : "alert"),
      element("span", { className: "hidden" }, LABELS[state]),
    );
  }
}

function inputParts(input) {
  if (input === null || input === undefined) return [];
  if (typeof input !== "object") return [part("Input", asText(input))];
  const { file_path: path, content, command, old_string: before, new_string: after, ...rest } = input;
  const parts = [];
  // The card's head shows the path already, unless it shows something else or only its beginning.
  if (path !== undefined && path !== mainArgument(input)) parts.push(part("File", asText(path)));
  if (command !== undefined) parts.push(part("Command", asText(command)));
  if (content !== undefined) parts.push(part("Content", asText(content)));
  if (before !== undefined) parts.push(part("Before", asText(before), "tool-before"));
  if (after !== undefined) parts.push(part("After", asText(after), "tool-after"));
  if (Object.keys(rest).length) parts.push(part(parts.length ? "More" : "Input", asText(rest)));
  return parts;
}

function part(label, text, className = "tool-input") {
  return element(
    "div",
    { className: `tool-part ${className}` },
    element("span", { className: "tool-label" }, label),
    copyButton(`Copy ${label.toLowerCase()}`, () => text),
    element("pre", { tabIndex: 0, dir: "ltr" }, text),
  );
}
