/** The panel's keys and its width; tests/e2e/test_page_files.py has it in a browser. */

import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.matchMedia = () => ({ matches: false, addEventListener() {} });

const { tabAfter } = await import("../../../gateway/static/panel/panel.js");
const { fitting, LEAST, widthAfter } = await import("../../../gateway/static/panel/width.js");

test("arrows go round the tabs, Home and End to the first and the last", () => {
  assert.deepEqual([0, 1, 2].map((at) => tabAfter("ArrowRight", at, 3)), [1, 2, 0]);
  assert.deepEqual([0, 1, 2].map((at) => tabAfter("ArrowLeft", at, 3)), [2, 0, 1]);
  assert.equal(tabAfter("Home", 2, 3), 0);
  assert.equal(tabAfter("End", 0, 3), 2);
  assert.equal(tabAfter("ArrowRight", 0, 1), 0);
  assert.equal(tabAfter("a", 0, 3), null);
});

test("the panel is as wide as is asked, where the chat keeps its room", () => {
  assert.equal(fitting(500, 1440), 500);
  assert.equal(fitting(9000, 1440), 1440 - 652);
  assert.equal(fitting(10, 1440), LEAST);
  assert.equal(fitting(Infinity, 700), LEAST);
  assert.ok(widthAfter("ArrowLeft", 400) > 400);
  assert.ok(widthAfter("ArrowRight", 400) < 400);
  assert.equal(fitting(widthAfter("End", 400), 1440), 788);
  assert.equal(fitting(widthAfter("Home", 400), 1440), LEAST);
  assert.equal(widthAfter("x", 400), null);
});
