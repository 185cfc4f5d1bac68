/** upload.js: what is cut goes on where it was, and nothing is sent twice that has come. file-api.js: paths. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ApiError } from "../../../gateway/static/client/api.js";
import { folderOf, PIECE_BYTES, shownPath } from "../../../gateway/static/files/file-api.js";
import { upload } from "../../../gateway/static/files/upload.js";
import { pathOf } from "../../../gateway/static/shared/file-address.js";

const BIG = new File([new Uint8Array(3 * PIECE_BYTES + 5).map((_, at) => at % 251)], "big.bin", { lastModified: 7 });

/** The upload routes of a gateway: a piece is refused where `cut(attempt)` says what came of it before it broke. */
function gateway(cut = () => null) {
  const there = { parts: [], size: 0, done: null, attempts: 0, begun: 0 };
  const take = async (piece, size) => {
    there.parts.push(new Uint8Array(await piece.slice(0, size).arrayBuffer()));
    there.size += size;
  };
  return {
    there,
    beginUpload: async () => ((there.begun += 1), { upload: "id", offset: 0 }),
    lookAtUpload: async () => ({ upload: "id", offset: there.size }),
    async append(_path, _id, offset, piece) {
      assert.equal(offset, there.size);
      const came = cut((there.attempts += 1), piece.size);
      if (came === null) {
        await take(piece, piece.size);
        return { offset: there.size };
      }
      await take(piece, came);
      throw new ApiError("The gateway cannot be reached.", { code: "network" });
    },
    async finishUpload(_path, _id, size, etag) {
      assert.equal(size, there.size);
      there.done = { etag };
    },
    async write(_path, file, etag) {
      there.done = { etag, whole: file.size };
    },
  };
}

const how = (more = {}) => ({ file: BIG, path: "big.bin", etag: null, key: "s.upload.big.bin", signal: new AbortController().signal, progress() {}, pause: async () => {}, ...more });

async function assertWhole({ there }) {
  const whole = new Uint8Array(await new Blob(there.parts).arrayBuffer());
  assert.equal(Buffer.compare(whole, new Uint8Array(await BIG.arrayBuffer())), 0);
  assert.deepEqual(there.done, { etag: null });
}

test("a large file goes in pieces, a small one at once", async () => {
  const big = gateway();
  const seen = [];
  await upload(big, how({ progress: (sent) => seen.push(sent) }));
  await assertWhole(big);
  assert.deepEqual(seen, [0, PIECE_BYTES, 2 * PIECE_BYTES, 3 * PIECE_BYTES, BIG.size]);
  const small = gateway();
  await upload(small, how({ file: new File(["x"], "x") }));
  assert.deepEqual(small.there.done, { etag: null, whole: 1 });
});

test("what was cut before, within and behind a piece goes on where it was", async () => {
  const cuts = new Map([[1, 0], [3, 1000], [5, PIECE_BYTES]]);
  const cut = gateway((attempt, size) => (cuts.has(attempt) ? Math.min(size, cuts.get(attempt)) : null));
  await upload(cut, how());
  await assertWhole(cut);
  assert.equal(cut.there.begun, 1);
});

test("a page that was loaded again goes on with the same file, and begins anew with another", async () => {
  const down = gateway((attempt) => (attempt > 2 ? 0 : null));
  await assert.rejects(upload(down, how()), { code: "network" });
  const after = gateway();
  Object.assign(after.there, { parts: down.there.parts, size: down.there.size });
  await upload(after, how());
  await assertWhole(after);
  assert.equal(after.there.begun, 0);
  const other = gateway();
  await upload(other, how());
  assert.equal(other.there.begun, 1); // The last one is over.
});

test("paths are the bytes of names, percent-encoded, and shown as text", () => {
  assert.equal(pathOf("a b/ü:1%.txt"), "a%20b/%C3%BC%3A1%25.txt");
  assert.equal(shownPath("a%20b/%C3%BC%3A1%25.txt"), "a b/ü:1%.txt");
  assert.equal(shownPath("x%FFy/%C3%BC"), "x%FFy/ü");
  assert.equal(folderOf("a/b/c"), "a/b");
  assert.equal(folderOf("a"), "");
});
