/** composer.js: what of the typed text is the prompt. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { promptOf } from "../../../gateway/static/composer/composer.js";

test("the first line keeps its indentation; empty lines around a prompt are no part of it", () => {
  assert.equal(promptOf("\n  \n    def f():\n        pass\n\n"), "    def f():\n        pass");
  assert.equal(promptOf("\thello "), "\thello");
  assert.equal(promptOf(" \n\t\n "), "");
});
