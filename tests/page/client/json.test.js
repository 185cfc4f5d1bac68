/** json.js: whole numbers beyond 2^53 are read and written as they are. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseFrame } from "../../../gateway/static/client/frames.js";
import { parseJson, toJson } from "../../../gateway/static/client/json.js";

test("whole numbers that a double does not hold stay what they are", () => {
  const text = '{"id":12345678901234567890,"list":[-9007199254740993,9007199254740991,1.5,1e30,0.12345678901234567]}';
  const value = parseJson(text);
  assert.equal(value.id, 12345678901234567890n);
  assert.deepEqual(value.list, [-9007199254740993n, 9007199254740991, 1.5, 1e30, 0.12345678901234567]);
  assert.match(toJson(value), /^\{"id":12345678901234567890,"list":\[-9007199254740993,9007199254740991,1\.5,/);
});

test("digits in strings are left alone, whatever stands beside them", () => {
  for (const value of ['12345678901234567890', 'say "12345678901234567890"', "\\12345678901234567890\\", 'a: 12345678901234567890, "b']) {
    const text = JSON.stringify({ [value]: value, n: 1 });
    assert.deepEqual(parseJson(text), JSON.parse(text));
    assert.equal(toJson(parseJson(text)), text);
  }
});

test("what is no JSON is none, with long numbers too", () => {
  for (const text of ["{12345678901234567890}", "[012345678901234567890]", "12345678901234567890x"]) {
    assert.throws(() => parseJson(text), SyntaxError);
  }
});

test("a frame's tool input is shown with its numbers as they are", () => {
  const { input } = parseFrame('{"type":"tool-start","input":{"id":9007199254740993}}');
  assert.equal(toJson(input, 2), '{\n  "id": 9007199254740993\n}');
});
