/** Files that the agent names, as addresses in the panel: `#/s/<session>/files/src/app.py:12`. */

import { addressOf, readAddress } from "./address.js";

/** What the agent calls the workspace. */
const WORKSPACE = "/workspace/";

/** Of names without a folder, only these are taken for files: `array.map` is none. */
const SUFFIXES = new Set(
  `bash c cc cfg conf cpp cs css csv diff env go gradle h hpp html ini ipynb java jpeg jpg js json jsonl jsx kt lock log lua md
  mjs patch php pdf png proto py pyi rb rs scss sh sql svelte svg swift toml ts tsx txt vue xml yaml yml zip`.split(/\s+/),
);

const NAMED = /^((?:\/workspace\/|\.\/)?[\w@.+-]+(?:\/[\w@.+ -]+)*)(?::(\d{1,7})(?::\d+)?)?$/;

/** A name as a path of the API: percent-encoded, with `/` between folders. @param {string} name */
export const pathOf = (name) =>
  name
    .split("/")
    .map((part) => encodeURIComponent(part.toWellFormed?.() ?? part))
    .join("/");

/**
 * The address of a file of the session that is open.
 *
 * @param {string} name  relative to the workspace, or below `/workspace`
 * @param {number} [line]  from 1
 * @returns {string | null} null for what is not in the workspace, or where no session is open
 */
export function fileAddress(name, line = 0) {
  const { session } = readAddress(globalThis.location?.hash ?? "");
  const inner = name.startsWith(WORKSPACE) ? name.slice(WORKSPACE.length) : name;
  const parts = inner.split("/").filter((part) => part !== "." && part !== "");
  if (!session || inner.startsWith("/") || !parts.length || parts.includes("..") || inner.includes("\n")) return null;
  return addressOf(session, "files", pathOf(parts.join("/")) + (line ? `:${line}` : ""));
}

/** The same of a text that may name a file, such as `src/app.py:12`; null where it does not look like one. @param {string} text */
export function fileNamedBy(text) {
  const [, name = "", line = "0"] = NAMED.exec(text) ?? [];
  const last = name.split("/").at(-1);
  const suffix = /[^.]\.(\w{1,10})$/.exec(last)?.[1]?.toLowerCase();
  if (!suffix || (!name.includes("/") && !SUFFIXES.has(suffix))) return null;
  return fileAddress(name, Number(line));
}
