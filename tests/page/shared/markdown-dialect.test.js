/** markdown-dialect.js: what models write is read as they mean it, growing or whole, and nothing overflows or stalls it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { lex, settledBlocks, toHtml } from "../../../gateway/static/shared/markdown-dialect.js";
import { ANSWERS, HOSTILE, SAID } from "./markdown-corpus.js";

const html = (source) => toHtml(lex(source));
/** Definitions, tags that span blocks and TeX that is still open are put right at the end only. */
const CHANGES_AT_THE_END = /^\[.+\]: |<details>|^(?:\$\$|\\\[)$/m;

for (const [source, { has = [], hasNot = [] }] of SAID) {
  test(`${JSON.stringify(source)} is read as it is meant`, () => {
    const shown = html(source).replaceAll("&#36;", "$");
    for (const part of has) assert.ok(shown.includes(part), `${part} is not in ${shown}`);
    for (const part of hasNot) assert.ok(!shown.includes(part), `${part} is in ${shown}`);
  });
}

test("what is settled while a text grows is what the whole makes of it, at every character", () => {
  for (const answer of [...ANSWERS, ...SAID.map(([source]) => source)]) {
    if (CHANGES_AT_THE_END.test(answer)) continue;
    const source = answer.replace(/\r\n?/g, "\n");
    let settled = 0;
    let shown = "";
    for (let end = 1; end <= source.length; end += 1) {
      const rest = source.slice(settled, end);
      const tokens = lex(rest);
      const count = settledBlocks(rest, tokens);
      assert.equal(shown + toHtml(tokens), html(source.slice(0, end)), JSON.stringify(source.slice(0, end)));
      shown += toHtml(tokens.slice(0, count));
      settled += tokens.slice(0, count).reduce((length, { raw }) => length + raw.length, 0);
    }
    assert.ok(settled > 0 || lex(source).filter(({ type }) => type !== "space").length < 3, "nothing was settled");
  }
});

test("a list's number that is still being written ends no list", () => {
  for (const source of ["1. a\n2", "1. a\n\n2", "- a\n\n-"]) assert.equal(settledBlocks(source, lex(source)), 0);
});

for (const [name, source] of HOSTILE) {
  test(`${name} without an end are shown within a time, and what follows too`, () => {
    const began = performance.now();
    const shown = html(`before\n\n${source} word\n\nafter`);
    assert.ok(performance.now() - began < 6000);
    for (const part of ["before", "word", "after"]) assert.ok(shown.includes(part), part);
  });
}

test("no text of a usual size is given up, however slow the computer", (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => (now += 1000));
  const section = "## Title\n\nSome **bold** words with `code`, and a [link](https://example.com).\n\n- one\n- *two*\n\n";
  const shown = html(section.repeat(400));
  assert.equal(shown.split("<strong>bold</strong>").length, 401);
  assert.equal(shown.split("<em>two</em>").length, 401);
});

test("nesting within reason is nested", () => {
  assert.equal(html("> ".repeat(12) + "deep").split("<blockquote>").length, 13);
  assert.equal(html(Array.from({ length: 10 }, (_, depth) => `${"  ".repeat(depth)}- a\n`).join("")).split("<ul>").length, 11);
});
