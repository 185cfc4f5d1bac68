/** code-lines.js: the text of highlight.js's markup is the text that it was given, whatever is in it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { languageOf, linesOf } from "../../../gateway/static/files/code-lines.js";
import highlighter from "../../../gateway/static/vendor/highlight.js";

const textOf = (lines) => lines.map((line) => line.map(({ text }) => text).join("")).join("\n");

test("the lines have the text that was coloured, spans that go over lines too", () => {
  for (const [language, source] of [
    ["python", 'def f():\n    """a\n    <b>&amp; "c" \'d\'\n    """\n    return 1 < 2 & 3\n'],
    ["xml", '<a href="x&amp;y">&lt;script&gt;</a>\n<!-- a\nb -->'],
    ["javascript", "const a = `x\n${1 + `y\n`}`; // <span class=\"hljs-string\">\n"],
    ["markdown", "# a\n\n> b\n\n```js\n1\n```"],
    ["json", '{"a": "\\u003c"}'],
  ]) {
    const lines = linesOf(highlighter.highlight(source, { language, ignoreIllegals: true }).value);
    assert.equal(textOf(lines), source, language);
    assert.ok(lines.some((line) => line.some(({ kind }) => kind.startsWith("hljs-"))), language);
    for (const line of lines) for (const { kind } of line) assert.match(kind, /^[\w .-]*$/);
  }
  const [first, second] = linesOf(highlighter.highlight('"""a\nb"""', { language: "python" }).value);
  assert.deepEqual([first[0].kind, second[0].kind], ["hljs-string", "hljs-string"]);
});

test("a file's language goes by its name, and highlight.js has each", () => {
  const names = ["a.py", "A.JS", "x.tsx", "Makefile", ".bashrc", "a.b.yaml", "x.h", "page.html", "Gemfile", "q.sql", "x.toml"];
  for (const name of names) assert.ok(highlighter.getLanguage(languageOf(name)), name);
  assert.equal(languageOf("LICENSE"), "");
  assert.equal(languageOf("a.unknown"), "");
});
