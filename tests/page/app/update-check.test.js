/** update-check.js: which build the gateway serves. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { buildOf } from "../../../gateway/static/app/update-check.js";

test("the page's build is read from its ETag, whatever a proxy made of it", () => {
  const build = "0123456789abcdef".repeat(2);
  for (const tag of [`"${build}"`, `W/"${build}"`, `W/"${build}-gzip"`]) assert.equal(buildOf(tag), build);
  for (const tag of [null, "", '"x"']) assert.equal(buildOf(tag), "");
});
