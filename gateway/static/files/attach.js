/** Files that go with a prompt: to `uploads/` in the workspace, and by their names into what is written. */

import { loadStyles } from "../shared/dom.js";
import { FileApi, shownPath } from "./file-api.js";
import { Transfers } from "./transfers.js";

const FOLDER = "uploads";

/** A name of its own for what a browser calls `image.png` each time. @param {File} file @param {Date} now */
export function nameOf(file, now = new Date()) {
  if (!/^image\.\w+$/.test(file.name)) return file.name;
  const stamp = now.toISOString().slice(0, 19).replace(/\D/g, "");
  return file.name.replace("image", `pasted-${stamp.slice(0, 8)}-${stamp.slice(8)}`);
}

/**
 * @param {File[]} files
 * @param {object} where
 * @param {string} where.session
 * @param {object} where.client
 * @param {HTMLElement} where.place  what is shown of it goes before this
 * @param {(name: string) => void} where.named  a file is there, under this name
 */
export async function attach(files, { session, client, place, named }) {
  await loadStyles("files/files.css");
  const transfers = new Transfers(new FileApi(client.api, session), session, {
    onDone: () => !transfers.element.children.length && transfers.element.remove(),
    onCame: (path) => named(shownPath(path)),
  });
  place.before(transfers.element);
  transfers.add(files.map((file) => ({ file, name: nameOf(file) })), FOLDER);
}
