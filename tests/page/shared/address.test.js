/** address.js: what an address says is read from it again, and what it does not say is not made up. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf, readAddress } from "../../../gateway/static/shared/address.js";

test("what is written is read again", () => {
  for (const [session, tab, rest] of [
    [null, "", ""],
    ["4f-a_1", "", ""],
    ["4f", "files", ""],
    ["4f", "files", "src/app.py:12"],
    ["4f", "files", "a%0Ab/c%20d%FF"],
  ]) {
    assert.deepEqual(readAddress(addressOf(session, tab, rest)), { session, tab, rest });
  }
});

test("a session in no address of ours is none", () => {
  for (const hash of ["", "#", "#/", "#/s/", "#/s/a b", `#/s/${"a".repeat(65)}`, "#/x/4f", "#/s/4f/Files", "#/s/4f/files2/x"]) {
    assert.deepEqual(readAddress(hash), { session: null, tab: "", rest: "" }, hash);
  }
  assert.deepEqual(readAddress("#/s/4f/"), { session: "4f", tab: "", rest: "" });
  assert.deepEqual(readAddress("#/s/4f/files/"), { session: "4f", tab: "files", rest: "" });
});
