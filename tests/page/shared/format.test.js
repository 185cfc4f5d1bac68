/** What the page says, and what it makes of what people type: words.js and the pure parts of other modules. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { buildOf } from "../../../gateway/static/app/update-check.js";
import { activityText, connectionState } from "../../../gateway/static/composer/run-status.js";
import { expiryOf, judgeOffer, subjectOf, tokenIn } from "../../../gateway/static/login/login.js";
import { parseServers } from "../../../gateway/static/settings/settings-dialog.js";
import {
  age,
  duration,
  explain,
  lossText,
  ordinal,
  phaseText,
  titleOf,
  usageText,
} from "../../../gateway/static/shared/format.js";
import { mainArgument } from "../../../gateway/static/transcript/tool-card.js";

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
  assert.match(lossText("new-reason"), /^The sandbox was lost\. /);
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

test("a session is named after the first line of its first prompt, cut between words", () => {
  assert.equal(titleOf("  List   files \nplease"), "List files");
  const long = "Write a detailed explanation of how WebSocket connections work, please";
  assert.equal(titleOf(long), "Write a detailed explanation of how WebSocket…");
  assert.equal(titleOf("x".repeat(80)), `${"x".repeat(56)}…`);
});

test("what a run cost is told when it is known", () => {
  assert.equal(usageText(undefined, undefined), "");
  assert.equal(usageText({ output_tokens: 1 }, 0), "1 token");
  assert.equal(usageText({ output_tokens: 20 }, 0.1234), "20 tokens · $0.12");
  assert.equal(usageText({}, 0.001), "under 1 ¢");
  assert.equal(usageText({ output_tokens: "many" }, "0.5"), "$0.50");
  assert.equal(usageText(null, { amount: 1 }), "");
});

test("a tool's main argument is one line of what it is about", () => {
  assert.equal(mainArgument({ content: "long", file_path: "/a.txt" }), "/a.txt");
  assert.equal(mainArgument({ command: "ls\npwd" }), "ls");
  assert.equal(mainArgument({ limit: 3, other: "first text" }), "first text");
  assert.equal(mainArgument({}), "");
  assert.equal(mainArgument(null), "");
  assert.equal(mainArgument("text"), "text");
});

test("MCP servers are an object, or the text is refused with its reason", () => {
  assert.deepEqual(parseServers("  "), {});
  assert.deepEqual(parseServers('{"a": {}}'), { a: {} });
  assert.throws(() => parseServers("{"), /This is not JSON/);
  for (const wrong of ["[]", "null", '"x"', "3"]) assert.throws(() => parseServers(wrong), /are an object/);
});

test("a token's end is read from it, and nonsense has none", () => {
  const body = Buffer.from(JSON.stringify({ exp: 1_800_000_000, sub: "ü" })).toString("base64url");
  assert.equal(expiryOf(`head.${body}.signature`), 1_800_000_000_000);
  for (const nonsense of ["", "a.b.c", "abc"]) assert.ok(Number.isNaN(expiryOf(nonsense)), nonsense);
});

test("a token is taken out of an address, however broken it is", () => {
  assert.equal(tokenIn("#token=a.b.c"), "a.b.c");
  assert.equal(tokenIn("#x=1&token=a%2Eb&y=2"), "a.b");
  assert.equal(tokenIn("#token=%"), "%");
  for (const none of ["", "#/s/abc", "#token=", "#mytoken=a"]) assert.equal(tokenIn(none), null, none);
});

test("an address replaces a token that is still good only by one of the same user, or after a question", () => {
  const now = 1_700_000_000_000;
  const token = (sub, exp) => `h.${Buffer.from(JSON.stringify({ sub, exp })).toString("base64url")}.s`;
  const [good, later, other] = [token("ädä", 1_800_000_000), token("ädä", 1_900_000_000), token("grace", 1_800_000_000)];
  const [over, nonsense] = [token("ädä", 1_600_000_000), "%"];
  assert.equal(subjectOf(good), "ädä");
  assert.equal(subjectOf(nonsense), "");
  assert.equal(judgeOffer(later, good, now), "take");
  assert.equal(judgeOffer(other, good, now), "ask");
  for (const worse of [over, nonsense]) assert.equal(judgeOffer(worse, good, now), "ignore");
  for (const kept of ["", over, nonsense]) {
    for (const offered of [good, other, over, nonsense]) assert.equal(judgeOffer(offered, kept, now), "take");
  }
});

test("the page's build is read from its ETag, whatever a proxy made of it", () => {
  const build = "0123456789abcdef".repeat(2);
  for (const tag of [`"${build}"`, `W/"${build}"`, `W/"${build}-gzip"`]) assert.equal(buildOf(tag), build);
  for (const tag of [null, "", '"x"']) assert.equal(buildOf(tag), "");
});

test("the status line and the connection say what goes on", () => {
  const followed = { activity: "", stopping: false, connection: { state: "open", transport: "ws" }, opened: true };
  assert.equal(activityText(followed), "Working…");
  assert.equal(activityText({ ...followed, activity: { type: "tool-start", name: "Write" } }), "Running Write…");
  assert.equal(activityText({ ...followed, activity: { type: "status", phase: "sandbox-starting" } }), "Starting sandbox…");
  assert.equal(activityText({ ...followed, stopping: true }), "Stopping…");
  assert.deepEqual(connectionState(followed, true), ["live", "Live"]);
  assert.deepEqual(connectionState({ ...followed, connection: { state: "open", transport: "sse" } }, true), ["live", "Live (SSE)"]);
  assert.deepEqual(connectionState({ ...followed, connection: { state: "waiting" } }, true), ["reconnecting", "Reconnecting"]);
  assert.deepEqual(connectionState({ ...followed, connection: { state: "connecting" } }, true), ["reconnecting", "Reconnecting"]);
  assert.deepEqual(connectionState({ connection: { state: "connecting" } }, true), ["connecting", "Connecting"]);
  assert.deepEqual(connectionState(undefined, true), ["idle", "Ready"]);
  assert.deepEqual(connectionState(undefined, false), ["offline", "Offline"]);
});
