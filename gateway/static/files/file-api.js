/** The gateway's routes about one session's files. Paths are percent-encoded names of bytes, as its answers have them. */

/** What is written at once, and the longest piece of an upload. */
export const PIECE_BYTES = 8 * 1024 * 1024;

/** The folder of a path; empty for the workspace itself. @param {string} path */
export const folderOf = (path) => path.slice(0, Math.max(0, path.lastIndexOf("/")));

/** A path within a folder. @param {string} folder @param {string} path */
export const within = (folder, path) => (folder ? `${folder}/${path}` : path);

/** As it is shown: bytes that are no UTF-8 as they are encoded. @param {string} path */
export function shownPath(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path.replace(/(?:%[0-9A-F]{2})+/gi, (bytes) => {
      try {
        return decodeURIComponent(bytes);
      } catch {
        return bytes;
      }
    });
  }
}

export class FileApi {
  #exchange;
  #ticket;
  #root;
  #session;

  /** @param {{exchange: Function, ticket: Function}} api @param {string} session  its id */
  constructor(api, session) {
    this.#exchange = api.exchange;
    this.#ticket = api.ticket;
    this.#session = session;
    this.#root = `api/sessions/${encodeURIComponent(session)}`;
  }

  /** A page of a folder. @param {string} path @param {{all?: boolean, cursor?: string | null}} how */
  list(path, { all = false, cursor = null } = {}) {
    const query = { path, all: all ? 1 : null, cursor: cursor && encodeURIComponent(cursor) };
    return this.#json("GET", "files", query);
  }

  /**
   * The beginning of a file.
   *
   * @param {string} path @param {number} limit  bytes
   * @returns {Promise<{bytes: Uint8Array, size: number, etag: string}>} `size`: of the whole file
   */
  async read(path, limit) {
    const asked = (headers) => this.#ask("GET", "file", { path }, { headers });
    let response;
    try {
      response = await asked({ Range: `bytes=0-${limit - 1}` });
    } catch (error) {
      if (error.status !== 416) throw error;
      response = await asked({}); // There is no first byte of an empty file.
    }
    const bytes = new Uint8Array(await response.arrayBuffer());
    const size = Number(/\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "")?.[1] ?? bytes.length);
    return { bytes, size, etag: response.headers.get("ETag") ?? "" };
  }

  /** The version of a file that is there. @param {string} path @returns {Promise<string>} its ETag */
  async version(path) {
    return (await this.#ask("HEAD", "file", { path })).headers.get("ETag") ?? "";
  }

  /**
   * Writes a file whole. Rejects with `changed` and the `etag` that is there where that is not `etag`.
   *
   * @param {string} path @param {BodyInit} body @param {string | null} etag  null: there must be none
   */
  write(path, body, etag) {
    return this.#json("PUT", "file", { path }, { headers: conditionOf(etag), body });
  }

  /** @param {string} path */
  makeFolder(path) {
    return this.#json("POST", "files", {}, asJson({ folder: path }));
  }

  /** @param {string} path @param {string} to */
  move(path, to) {
    return this.#json("POST", "files", {}, asJson({ move: path, to }));
  }

  /** @param {string} path */
  async remove(path) {
    await this.#ask("DELETE", "file", { path, recursive: 1 });
  }

  /** @param {string} q @param {{kind: "content" | "name", all: boolean}} how */
  search(q, { kind, all }) {
    return this.#json("GET", "search", { q: encodeURIComponent(q), kind, all: all ? 1 : null });
  }

  /** An address from which the browser downloads by itself, once. @param {string} path @param {"file" | "zip"} route */
  async downloadAddress(path, route) {
    const { ticket } = await this.#ticket(this.#session);
    return `${this.#root}/${route}?path=${path}&ticket=${encodeURIComponent(ticket)}`;
  }

  /** @param {string} path @returns {Promise<{upload: string, offset: number}>} */
  beginUpload(path) {
    return this.#json("POST", "upload", { path });
  }

  /** @param {string} path @param {string} upload @returns {Promise<{offset: number}>} */
  lookAtUpload(path, upload) {
    return this.#json("GET", "upload", { path, upload });
  }

  /** @param {string} path @param {string} upload @param {number} offset @param {Blob} piece @param {string} sha256  or empty */
  append(path, upload, offset, piece, sha256, signal) {
    return this.#json("PATCH", "upload", { path, upload, offset, sha256: sha256 || null }, { body: piece, signal });
  }

  /** @param {string} path @param {string} upload @param {number} size @param {string | null} etag  null: there must be none */
  finishUpload(path, upload, size, etag) {
    return this.#json("PUT", "upload", { path, upload, size }, { headers: conditionOf(etag) });
  }

  /** @param {string} path @param {string} upload */
  async cancelUpload(path, upload) {
    await this.#ask("DELETE", "upload", { path, upload });
  }

  async #json(method, route, query, how) {
    return (await this.#ask(method, route, query, how)).json();
  }

  #ask(method, route, query, how) {
    const fields = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
    const asked = fields.map(([name, value]) => `${name}=${value}`).join("&");
    return this.#exchange(method, `${this.#root}/${route}${asked && `?${asked}`}`, how);
  }
}

const conditionOf = (etag) => (etag === null ? { "If-None-Match": "*" } : { "If-Match": etag });
const asJson = (value) => ({ headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
