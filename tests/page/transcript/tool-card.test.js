/** tool-card.js: what a card says in its one line. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { mainArgument } from "../../../gateway/static/transcript/tool-card.js";

test("a tool's main argument is one line of what it is about", () => {
  assert.equal(mainArgument({ content: "long", file_path: "/a.txt" }), "/a.txt");
  assert.equal(mainArgument({ command: "ls\npwd" }), "ls");
  assert.equal(mainArgument({ limit: 3, other: "first text" }), "first text");
  assert.equal(mainArgument({}), "");
  assert.equal(mainArgument(null), "");
  assert.equal(mainArgument("text"), "text");
});
