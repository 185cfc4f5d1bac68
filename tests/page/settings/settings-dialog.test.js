/** settings-dialog.js: what people may type as MCP servers. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { parseServers } from "../../../gateway/static/settings/settings-dialog.js";

test("MCP servers are an object, or the text is refused with its reason", () => {
  assert.deepEqual(parseServers("  "), {});
  assert.deepEqual(parseServers('{"a": {}}'), { a: {} });
  assert.throws(() => parseServers("{"), /This is not JSON/);
  for (const wrong of ["[]", "null", '"x"', "3"]) assert.throws(() => parseServers(wrong), /are an object/);
});
