/** keys.js: what an input method takes, and what Enter does. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { enterMeans, isComposing } from "../../../gateway/static/shared/keys.js";

const enter = (more = {}) => ({ key: "Enter", keyCode: 13, ...more });

test("keys of an input method are its own, also when the composition ended just before", () => {
  assert.ok(isComposing({ key: "Escape", isComposing: true, keyCode: 27 }));
  assert.ok(isComposing({ key: "Enter", isComposing: false, keyCode: 229 }));
  assert.ok(!isComposing(enter({ isComposing: false })));
  assert.equal(enterMeans(enter({ isComposing: true }), false), null);
  assert.equal(enterMeans(enter({ keyCode: 229 }), false), null);
});

test("Enter sends, and begins a line with Shift or Alt", () => {
  assert.equal(enterMeans(enter(), false), "send");
  assert.equal(enterMeans(enter({ ctrlKey: true }), false), "send");
  assert.equal(enterMeans(enter({ shiftKey: true }), false), null);
  assert.equal(enterMeans(enter({ altKey: true }), false), "line");
  assert.equal(enterMeans({ key: "a", keyCode: 65, altKey: true }, false), null);
});

test("on glass Enter begins a line, and Ctrl or Command Enter sends", () => {
  assert.equal(enterMeans(enter(), true), null);
  assert.equal(enterMeans(enter({ metaKey: true }), true), "send");
  assert.equal(enterMeans(enter({ ctrlKey: true }), true), "send");
  assert.equal(enterMeans(enter({ altKey: true }), true), "line");
});
