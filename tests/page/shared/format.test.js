/** format.js: what the page says of phases, errors, times and costs. */

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  age,
  blockedText,
  duration,
  explain,
  lossText,
  ordinal,
  phaseText,
  usageText,
} from "../../../gateway/static/shared/format.js";

test("places in a queue are ordinals", () => {
  const numbers = [1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 101, 111];
  assert.equal(numbers.map(ordinal).join(" "), "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 23rd 101st 111th");
  assert.equal(phaseText({ phase: "queued", position: 2 }), "Queued (2nd)");
  assert.equal(phaseText({ phase: "queued" }), "Queued");
});

test("every phase of the contract has words, and one from the future does not break them", () => {
  for (const phase of ["sandbox-starting", "agent-starting", "sandbox-recovering", "paused", "resumed", "newer"]) {
    assert.match(phaseText({ phase }), /^[A-Z].*\w/);
  }
});

test("errors are sentences with a remedy where there is one", () => {
  assert.equal(explain("It broke", "internal"), "It broke.");
  assert.match(explain("No credential is set.", "credential-missing"), /^No credential is set\. Open Settings/);
  assert.match(lossText("oom"), /out of memory/);
  assert.match(lossText("disk-quota"), /more than a session may have/);
  assert.match(lossText("new-reason"), /^The sandbox was lost\. /);
});

test("a blocked host is named with the reason, also one from the future", () => {
  assert.match(blockedText({ host: "a.example", reason: "host" }), /a\.example.*not on the list/);
  assert.match(blockedText({ host: "a.example", reason: "address" }), /leads to an address/);
  assert.match(blockedText({ host: "a.example", reason: "newer" }), /could not reach/);
});

test("no sentence is said twice", () => {
  const gone = explain("there is no session s1; it may have expired or been deleted", "session-not-found");
  assert.equal(gone, "There is no session s1; it may have expired or been deleted. Pick another one, or start a new one.");
  assert.equal(explain("The store does not answer; try again", "store-unavailable"), "The store does not answer; try again.");
  assert.equal(explain("The token has expired; sign in again", "unauthorized"), "The token has expired; sign in again.");
  assert.equal(explain("mcpServers.docs must have a type", "bad-request"), "mcpServers.docs must have a type.");
  assert.match(explain("The store is not open", "store-unavailable"), /^The store is not open\. Nothing is lost\./);
});

test("times are short", () => {
  assert.deepEqual([400, 9940, 9960, 59_400, 59_600, 125_000].map(duration), ["0.4 s", "9.9 s", "10 s", "59 s", "1 min 0 s", "2 min 5 s"]);
  const now = Date.parse("2026-03-10T12:00:00Z");
  const before = (minutes) => age(new Date(now - minutes * 60_000).toISOString(), now);
  assert.deepEqual([0, 5, 60, 23 * 60].map(before), ["now", "5 min", "1 h", "23 h"]);
  assert.match(before(2 * 24 * 60), /^\p{L}+\.?$/u);
  assert.match(before(20 * 24 * 60), /18/);
  assert.equal(age("nonsense", now), "");
});

test("what a run cost is told when it is known", () => {
  assert.equal(usageText(undefined, undefined), "");
  assert.equal(usageText({ output_tokens: 1 }, 0), "1 token");
  assert.equal(usageText({ output_tokens: 20 }, 0.1234), "20 tokens · $0.12");
  assert.equal(usageText({}, 0.001), "under 1 ¢");
  assert.equal(usageText({ output_tokens: "many" }, "0.5"), "$0.50");
  assert.equal(usageText(null, { amount: 1 }), "");
});
