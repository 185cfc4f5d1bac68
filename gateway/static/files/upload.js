/** One file on its way to the workspace: whole when it is small, else in pieces that go on where they were cut. */

import { own } from "../shared/storage.js";
import { PIECE_BYTES } from "./file-api.js";

/** Pauses before it is tried again, in ms; then it waits for the reader. */
const RETRY_MS = [500, 1000, 2000, 4000, 8000, 15_000, 30_000];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The SHA-256 of a piece, hexadecimal; empty where the browser makes none (pages without https). @param {Blob} piece */
async function sumOf(piece) {
  if (!globalThis.crypto?.subtle) return "";
  const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", await piece.arrayBuffer()));
  return Array.from(sum, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Uploads a file. Rejects with what it was refused for; `changed` where another file is there.
 *
 * @param {import("./file-api.js").FileApi} files
 * @param {object} what
 * @param {File} what.file
 * @param {string} what.path
 * @param {string | null} what.etag  of the file that it may replace; null: none
 * @param {string} what.key  under which it is remembered, so that the same file goes on after the page was loaded again
 * @param {AbortSignal} what.signal
 * @param {(sent: number) => void} what.progress  bytes
 * @param {(ms: number) => Promise<void>} [what.pause]
 */
export async function upload(files, { file, path, etag, key, signal, progress, pause = sleep }) {
  if (file.size <= PIECE_BYTES) {
    await insist(() => files.write(path, file, etag), signal, pause);
    progress(file.size);
    return;
  }
  const known = remembered(key, file);
  let { upload: id, offset } = known
    ? await insist(() => files.lookAtUpload(path, known), signal, pause).catch(() => ({ upload: "", offset: 0 }))
    : { upload: "", offset: 0 };
  if (!id) ({ upload: id, offset } = await insist(() => files.beginUpload(path), signal, pause));
  own.set(key, JSON.stringify({ upload: id, size: file.size, modified: file.lastModified }));
  progress(offset);
  while (offset < file.size) {
    const piece = file.slice(offset, offset + PIECE_BYTES);
    const sum = await sumOf(piece);
    let lost = false;
    const send = async () => {
      // What was cut may have come all the same, or in part.
      if (lost) {
        const there = (await files.lookAtUpload(path, id)).offset;
        if (there !== offset) return { offset: there };
      }
      lost = true;
      return files.append(path, id, offset, piece, sum, signal);
    };
    ({ offset } = await insist(send, signal, pause));
    progress(offset);
  }
  await insist(() => files.finishUpload(path, id, file.size, etag), signal, pause);
  own.remove(key);
}

/** Gives up what has come of one. */
export async function forget(files, path, key) {
  const { upload: id } = JSON.parse(own.get(key) ?? "{}");
  own.remove(key);
  if (id) await files.cancelUpload(path, id).catch(() => {});
}

function remembered(key, file) {
  const { upload: id, size, modified } = JSON.parse(own.get(key) ?? "{}");
  return size === file.size && modified === file.lastModified ? id : "";
}

async function insist(action, signal, pause) {
  for (const ms of RETRY_MS) {
    try {
      return await action();
    } catch (error) {
      // Another request of ours that was cut may still hold the upload.
      const again = error.transient || (error.status === 409 && error.field !== "size");
      if (signal.aborted || !again) throw error;
    }
    await pause(ms);
    if (signal.aborted) break;
  }
  return action();
}
