/** env.js: what the client takes from a browser or from node by itself. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { completeEnv } from "../../../gateway/static/client/env.js";

test("the clock goes on while the computer sleeps", () => {
  const before = Date.now();
  const now = completeEnv().now();
  assert.ok(before <= now && now <= Date.now());
});
