/** run-status.js: what is said of the run and of the connection to it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { activityText, connectionState } from "../../../gateway/static/composer/run-status.js";

test("the status line and the connection say what goes on", () => {
  const followed = { activity: "", stopping: false, connection: { state: "open", transport: "ws" }, opened: true };
  assert.equal(activityText(followed), "Working…");
  assert.equal(activityText({ ...followed, activity: { type: "tool-start", name: "Write" } }), "Running Write…");
  assert.equal(activityText({ ...followed, activity: { type: "status", phase: "sandbox-starting" } }), "Starting sandbox…");
  assert.equal(activityText({ ...followed, stopping: true }), "Stopping…");
  assert.equal(activityText({ ...followed, cut: true }), "Connection lost; the run goes on…");
  assert.equal(activityText({ ...followed, cut: true, unsent: true }), "Not sent yet: it goes once there is a connection.");
  assert.deepEqual(connectionState(followed, true), ["live", "Live"]);
  assert.deepEqual(connectionState({ ...followed, connection: { state: "open", transport: "sse" } }, true), ["live", "Live (SSE)"]);
  assert.deepEqual(connectionState({ ...followed, connection: { state: "waiting" } }, true), ["reconnecting", "Reconnecting"]);
  assert.deepEqual(connectionState({ ...followed, connection: { state: "connecting" } }, true), ["reconnecting", "Reconnecting"]);
  assert.deepEqual(connectionState({ connection: { state: "connecting" } }, true), ["connecting", "Connecting"]);
  assert.deepEqual(connectionState(undefined, true), ["idle", "Ready"]);
  assert.deepEqual(connectionState(undefined, false), ["offline", "Offline"]);
});

test("what waits for a sign-in says so, and nothing reconnects meanwhile", () => {
  const connection = { state: "waiting", transport: "ws", reason: "unauthorized" };
  const followed = { activity: "", stopping: false, cut: true, connection };
  assert.equal(activityText(followed), "Sign in to read on; the run goes on…");
  assert.equal(activityText({ ...followed, unsent: true }), "Not sent yet: sign in again.");
  assert.deepEqual(connectionState(followed, true), ["offline", "Signed out"]);
});
