/** runs.js: a stream for each run that is followed, what waits stays out of sight, and a stop reaches its run. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Runs } from "../../../gateway/static/chat/runs.js";
import { ApiError } from "../../../gateway/static/client/client.js";
import { settle } from "../harness.js";
import { FakeStreams, FakeTranscript } from "./fakes.js";

let gateway;
let stops;
let stopping;
let transcript;
let told;
let runs;

const timing = (run) => ({ type: "timing", run });
const first = (run) => ({ type: "run", run, seq: 1 });
const queued = (position) => ({ type: "status", phase: "queued", position });
const refused = { type: "error", content: "No.", code: "forbidden", fatal: true };
const open = (transport) => ({ type: "connection", state: "open", transport });

/** Starts a prompt that may be sent at once, or when `ready` settles. */
function start(prompt, ready = Promise.resolve()) {
  const turn = transcript.add({ messageId: `id of ${prompt}` });
  turn.setUser(prompt);
  runs.start(turn, { prompt }, () => ready);
  return turn;
}

beforeEach(() => {
  gateway = new FakeStreams();
  stops = [];
  stopping = async () => {};
  transcript = new FakeTranscript();
  told = [];
  const note = (what) => (value) => void told.push(value === undefined ? what : `${what} ${value}`);
  const api = {
    stop: async (session, run) => {
      stops.push(`${session} ${run}`);
      await stopping();
    },
  };
  runs = new Runs({ api, streamWs: (request) => gateway.streamWs(request) }, transcript, "s1", {
    changed: () => {},
    onProblem: ({ code, prompt }) => note("problem")(`${code} ${prompt ?? ""}`.trim()),
    onSettled: ({ prompt }) => note("settled")(prompt),
    onBegun: note("begun"),
    onOver: note("over"),
    onBehind: note("behind"),
    onLeft: note("left"),
    onStopped: async () => note("stopped")(),
  });
});

test("a prompt becomes a run that is followed to its end", async () => {
  assert.ok(runs.idle);
  const turn = start("hello");
  assert.equal(runs.active.turn, turn);
  assert.deepEqual(transcript.shown, [turn]);
  await settle();
  const [stream] = gateway.streams;
  assert.deepEqual([stream.request.sessionId, stream.request.prompt], ["s1", "hello"]);
  stream.push(timing("r1"), first("r1"), { type: "text", run: "r1", seq: 2, content: "hi" });
  await settle();
  assert.deepEqual([turn.run, turn.text, turn.live], ["r1", "hi", true]);
  stream.push({ type: "ws-exit", run: "r1", seq: 3, reason: "completed" });
  stream.end();
  await settle();
  assert.deepEqual([turn.live, turn.finished, runs.idle], [false, true, true]);
  assert.deepEqual(told, ["settled hello", "begun r1", "over r1"]);
});

test("a prompt behind a run that is on waits out of sight until its own begins", async () => {
  start("one");
  const two = start("two");
  const three = start("three");
  await settle();
  assert.deepEqual(runs.waiting.map(({ turn }) => turn), [two, three]);
  assert.ok(runs.waits(two));
  assert.deepEqual(transcript.shown.length, 1);
  gateway.streams[1].push(timing("r2"), queued(2));
  gateway.streams[2].push(timing("r3"), queued(1));
  await settle();
  assert.deepEqual(runs.waiting.map(({ turn }) => turn), [three, two], "by what the gateway says");
  assert.deepEqual(told, ["settled two", "settled three"]);
  gateway.streams[1].push(first("r2"));
  await settle();
  assert.deepEqual([runs.waits(two), transcript.shown.includes(two)], [false, true]);
});

test("a prompt that another tab's run was faster than is taken out of sight, and the session looked at", async () => {
  const turn = start("mine");
  await settle();
  gateway.streams[0].push(open("ws"), timing("r2"), queued(1));
  await settle();
  assert.equal(runs.active, undefined);
  assert.deepEqual([transcript.shown, runs.waiting.map((one) => one.turn)], [[], [turn]]);
  assert.deepEqual(told, ["settled mine", "behind"]);
  assert.equal(gateway.streams[0].request.signal.aborted, false);
});

test("over server-sent events a run that waits is left, and shown when it is read that it waits no more", async () => {
  start("one");
  const two = start("two");
  await settle();
  gateway.streams[1].push(open("sse"), timing("r2"), queued(1));
  await settle();
  assert.equal(gateway.streams[1].request.signal.aborted, true);
  assert.deepEqual(told, ["settled two", "left", "over r2"]);
  assert.deepEqual([runs.of(two), runs.waits(two)], [undefined, true]);
  runs.unqueueAllBut(new Set(["r2"]));
  assert.deepEqual(transcript.shown.includes(two), false);
  runs.unqueueAllBut(new Set());
  assert.deepEqual([runs.waits(two), transcript.shown.includes(two)], [false, true]);
});

test("a run that is on is attached to from its start, once, unless all of it is there", async () => {
  const turn = transcript.add({ run: "r1" });
  runs.queue(turn);
  runs.attach("r1");
  runs.attach("r1");
  await settle();
  assert.deepEqual(gateway.streams.map(({ request: { run, after } }) => [run, after]), [["r1", 0]]);
  assert.deepEqual([turn.resets, runs.waits(turn), transcript.shown], [1, false, [turn]]);
  transcript.add({ run: "r0" }).finished = true;
  runs.attach("r0");
  await settle();
  assert.equal(gateway.streams.length, 1);
});

test("a stop waits for the run's name, is asked for once, and again when it failed", async () => {
  const turn = start("hello");
  await settle();
  runs.stop();
  runs.stop();
  assert.deepEqual([stops, runs.active.stopping], [[], true]);
  stopping = () => Promise.reject(new ApiError("Away.", { status: 503, code: "unavailable" }));
  gateway.streams[0].push(timing("r1"));
  await settle();
  assert.deepEqual([stops, runs.active.stopping], [["s1 r1"], false]);
  stopping = async () => {};
  await runs.stop();
  runs.named(turn);
  await settle();
  assert.deepEqual(stops, ["s1 r1", "s1 r1"]);
  assert.deepEqual(told, ["settled hello", "problem unavailable"]);
});

test("a prompt that is cancelled before it is sent is never sent, and is gone", async () => {
  start("one");
  const two = start("two", new Promise(() => {}));
  let send;
  const three = start("three", new Promise((resolve) => (send = resolve)));
  await settle();
  assert.deepEqual(gateway.streams.length, 1);
  await runs.cancel(three);
  send();
  await settle();
  assert.deepEqual(gateway.streams.length, 1);
  assert.deepEqual([stops, told], [[], ["over null"]]);
  assert.deepEqual(runs.waiting.map(({ turn }) => turn), [two]);
  assert.equal(transcript.turns.includes(three), false);
});

test("a prompt that is cancelled when it may have arrived is stopped once its run has a name", async () => {
  start("one");
  const two = start("two");
  await settle();
  await runs.cancel(two);
  assert.deepEqual([stops, gateway.streams[1].request.signal.aborted], [[], false]);
  two.run = "r2";
  runs.named(two);
  gateway.streams[1].push(timing("r2"));
  await settle();
  assert.deepEqual(stops, ["s1 r2"]);
});

test("a run that waits and that nobody follows is stopped, and then read", async () => {
  const turn = transcript.add({ run: "r9" });
  runs.queue(turn);
  await runs.cancel(turn);
  assert.deepEqual([stops, told], [["s1 r9"], ["stopped"]]);
});

test("a refusal is shown in its turn, with the prompt that no run took", async () => {
  start("one");
  const two = start("two");
  await settle();
  gateway.streams[1].push(refused);
  gateway.streams[1].end();
  await settle();
  assert.ok(transcript.shown.includes(two));
  assert.ok(two.finished);
  assert.deepEqual(told, ["settled two", "problem forbidden two", "over null"]);
});

test("closed, it lets prompts arrive, tells of no end, and leaves refused ones to be sent again", async () => {
  for (const prompt of ["one", "two", "three"]) start(prompt);
  await settle();
  gateway.streams[0].push(timing("r1"));
  await settle();
  runs.close();
  const aborted = () => gateway.streams.map(({ request }) => request.signal.aborted);
  assert.deepEqual(aborted(), [true, false, false]);
  gateway.streams[1].push(timing("r2"), first("r2"));
  gateway.streams[2].push(refused);
  await settle();
  assert.deepEqual(aborted(), [true, true, true]);
  assert.deepEqual(told, ["settled one", "settled two"]);
  assert.ok(runs.idle);
});
