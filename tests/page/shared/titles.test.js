/** titles.js: a session's name is what its first prompt says first, whole signs of it, and never nothing. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { titleOf, wellFormed } from "../../../gateway/static/shared/titles.js";

test("a session is named after the first line of its first prompt, cut between words", () => {
  assert.equal(titleOf("  List   files \nplease"), "List files");
  const long = "Write a detailed explanation of how WebSocket connections work, please";
  assert.equal(titleOf(long), "Write a detailed explanation of how WebSocket…");
  assert.equal(titleOf("x".repeat(80)), `${"x".repeat(56)}…`);
});

test("a cut goes through no sign, and leaves what the gateway takes", () => {
  for (const sign of ["👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "é", "क्षि"]) {
    const title = titleOf(sign.repeat(90));
    const shown = title.slice(0, -1);
    assert.equal(title, wellFormed(title));
    assert.equal(shown, sign.repeat(shown.length / sign.length));
    assert.ok(title.length <= 200 && shown.length > 50, title);
  }
  assert.ok(titleOf(`a${"\u0301".repeat(5000)}`).length <= 200);
  assert.equal(titleOf(`${"x".repeat(55)}😀 and more`), `${"x".repeat(55)}😀…`);
});

test("Markdown is no part of a name", () => {
  const names = {
    "# Fix **the** `parser`": "Fix the parser",
    "```python\nprint(1)\n```": "print(1)",
    "```python": "python",
    "- [ ] buy _milk_ at [the shop](https://example.com)": "buy milk at the shop",
    "> 1. quoted": "quoted",
    "---\n\n## Title ##": "Title",
    "**Bold**: *all* of ~~it~~": "Bold: all of it",
    "What do snake_case_names and 2 * 3 * 4 and **kwargs and __init__ mean": "What do snake_case_names and 2 * 3 * 4 and **kwargs and…",
    "| a | b |\n| - | - |": "| a | b |",
  };
  for (const [prompt, name] of Object.entries(names)) assert.equal(titleOf(prompt), name);
});

test("a name is never empty", () => {
  for (const prompt of ["", "\u200b\u200b", "```\n```", "\u200d\ufeff\n\u2060", "---", "# ", "\u0301"]) {
    assert.equal(titleOf(prompt), "Untitled");
  }
  assert.equal(titleOf("\u200b\nsecond"), "second");
  assert.equal(titleOf("!!!"), "!!!");
});

test("halves of surrogate pairs are replaced", () => {
  assert.equal(wellFormed("a\ud83d b\ude00 😀"), "a\ufffd b\ufffd 😀");
  assert.equal(titleOf("a\ud83d"), "a\ufffd");
});
