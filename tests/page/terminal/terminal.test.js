/** Which keys the page keeps of a terminal's, and what it says of a connection; tests/e2e/test_page_terminal.py has the rest. */

import assert from "node:assert/strict";
import { test } from "node:test";

const { keyMeans } = await import("../../../gateway/static/terminal/keys.js");

const key = (text) => {
  const parts = text.split(" ");
  return { key: parts.at(-1), ctrlKey: parts.includes("Ctrl"), shiftKey: parts.includes("Shift"), metaKey: parts.includes("Meta"), altKey: parts.includes("Alt") };
};

test("few keys are the page's; Escape, Tab and Control with a letter are the shell's", () => {
  for (const text of ["Escape", "Tab", "Shift Tab", "Ctrl c", "Ctrl k", "Ctrl l", "F1", "Ctrl Shift Alt L", "Ctrl Shift ArrowUp"]) {
    assert.equal(keyMeans(key(text), false), null, text);
  }
  assert.equal(keyMeans(key("Ctrl Shift L"), false), "leave");
  assert.equal(keyMeans(key("Ctrl Shift F"), false), "find");
  assert.equal(keyMeans(key("Ctrl Shift C"), false), "copy");
  assert.equal(keyMeans(key("Ctrl Shift V"), false), "paste");
});

test("on Apple's keyboards the command key copies and searches, and the way out is the same", () => {
  assert.equal(keyMeans(key("Meta c"), true), "copy");
  assert.equal(keyMeans(key("Meta f"), true), "find");
  assert.equal(keyMeans(key("Ctrl Shift L"), true), "leave");
  assert.equal(keyMeans(key("Meta c"), false), null);
  assert.equal(keyMeans(key("Meta k"), true), null);
});
