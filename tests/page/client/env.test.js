/** env.js: what the client takes from a browser or from node by itself. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "../../../gateway/static/client/client.js";
import { completeEnv } from "../../../gateway/static/client/env.js";

test("the clock goes on while the computer sleeps", () => {
  const before = Date.now();
  const now = completeEnv().now();
  assert.ok(before <= now && now <= Date.now());
});

test("a gateway under a path of another server is asked there", async () => {
  for (const origin of ["https://example.test/forge", "https://example.test/forge/"]) {
    const asked = [];
    const fetch = async (href) => {
      asked.push(href);
      return new Response("{}");
    };
    const { api } = createClient({ origin, fetch });
    await Promise.all([api.version(), api.getSession("s1")]);
    assert.deepEqual(asked, ["https://example.test/forge/api/version", "https://example.test/forge/api/sessions/s1"]);
  }
});
