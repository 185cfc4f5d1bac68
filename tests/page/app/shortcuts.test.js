/** shortcuts.js: which keys ask for a new session. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { isNew } from "../../../gateway/static/app/shortcuts.js";

const key = (more) => ({ key: "k", ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });

test("a new session is Command K on Apple's keyboards, where Control K edits, and Control K elsewhere", () => {
  assert.ok(isNew(key({ metaKey: true }), true));
  assert.ok(!isNew(key({ ctrlKey: true }), true));
  assert.ok(isNew(key({ ctrlKey: true, key: "K" }), false));
  assert.ok(!isNew(key({ metaKey: true }), false));
  assert.ok(!isNew(key({ ctrlKey: true, shiftKey: true }), false));
  assert.ok(!isNew(key({}), false));
});
