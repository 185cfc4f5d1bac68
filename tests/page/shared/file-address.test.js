/** file-address.js: what names a file of the workspace leads there, and nothing else leads anywhere. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { fileAddress, fileNamedBy } from "../../../gateway/static/shared/file-address.js";

const at = (hash) => {
  globalThis.location = { hash };
};

test("files of the workspace have an address in the session that is open", () => {
  at("#/s/4f/files/other");
  assert.equal(fileAddress("/workspace/src/a b.py", 12), "#/s/4f/files/src/a%20b.py:12");
  assert.equal(fileAddress("src/ü:1.py"), "#/s/4f/files/src/%C3%BC%3A1.py");
  for (const outside of ["/etc/passwd", "../x", "src/../../x", "/workspace/", "", "a\nb", "/workspace/../etc"]) {
    assert.equal(fileAddress(outside), null, outside);
  }
  at("#/");
  assert.equal(fileAddress("src/app.py"), null);
});

test("a text is taken for a file only where it looks like one", () => {
  at("#/s/4f");
  for (const [text, rest] of [
    ["src/app.py", "src/app.py"],
    ["src/app.py:12", "src/app.py:12"],
    ["/workspace/test.txt", "test.txt"],
    ["./a/b-c.test.js:3:9", "a/b-c.test.js:3"],
    ["README.md", "README.md"],
  ]) {
    assert.equal(fileNamedBy(text), `#/s/4f/files/${rest}`, text);
  }
  for (const text of ["array.map", "os.path.join", "a/b", "https://example.com/x.js", "1/2", "v1.2.3", ".env", "x = y.py", "../x.py", "/etc/x.conf", "a.py b.py"]) {
    assert.equal(fileNamedBy(text), null, text);
  }
});
