/** outbox.js: prompts are kept in the order of sending until the gateway has them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Outbox } from "../../../gateway/static/chat/outbox.js";
import { own } from "../../../gateway/static/shared/storage.js";

test("entries stay in their order until they are dropped", () => {
  own.clear();
  const outbox = new Outbox("s1");
  for (const messageId of ["a", "b", "c"]) outbox.put({ messageId, prompt: messageId, mode: "agent" });
  outbox.drop("b");
  outbox.drop("b");
  outbox.drop(null);
  assert.deepEqual(new Outbox("s1").entries.map(({ messageId }) => messageId), ["a", "c"]);
  assert.deepEqual(new Outbox("s2").entries, []);
});
