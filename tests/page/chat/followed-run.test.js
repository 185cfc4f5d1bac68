/** followed-run.js: what is known of a run and of the connection to it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { FollowedRun } from "../../../gateway/static/chat/followed-run.js";

test("a prompt is unsent from the loss of the connection until one opens again, or the gateway has it", () => {
  const followed = new FollowedRun({}, false);
  const states = (...all) => all.map((state) => (followed.take({ type: "connection", state }), followed.unsent));
  assert.deepEqual(states("connecting", "waiting", "connecting", "waiting", "connecting", "open"), [false, true, true, true, true, false]);
  followed.settle();
  assert.deepEqual(states("waiting", "connecting"), [false, false]);
  assert.ok(followed.cut);
});
