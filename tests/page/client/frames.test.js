/** frames.js: messages, cursors and events, without any connection. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Cursor, parseMessage, toEvent } from "../../../gateway/static/client/frames.js";
import { EventStreamParser } from "../../../gateway/static/client/transports.js";
import { expectedSeqs, makeRun, seeded } from "../harness.js";

test("a message holds one frame, or several, one a line", () => {
  assert.deepEqual([...parseMessage('{"type":"ping"}')], [{ type: "ping" }]);
  assert.deepEqual([...parseMessage('{"seq":1}\n{"seq":2}')], [{ seq: 1 }, { seq: 2 }]);
  assert.deepEqual([...parseMessage(new TextEncoder().encode('{"text":"ß"}').buffer)], [{ text: "ß" }]);
});

for (const bad of ["{", "[]", "null", "7", '"text"', '{"a":1}\n{']) {
  test(`what is no frame is refused: ${JSON.stringify(bad)}`, () => {
    assert.throws(() => [...parseMessage(bad)], SyntaxError);
  });
}

test("bytes that are no UTF-8 are refused", () => {
  assert.throws(() => [...parseMessage(new Uint8Array([0x22, 0xff, 0x22]).buffer)], TypeError);
});

test("a cursor takes each frame once, in order, and names what is missing", () => {
  const cursor = new Cursor();
  assert.equal(cursor.judge({ type: "status", phase: "queued" }), "take");
  assert.equal(cursor.judge({ type: "run", run: "a", seq: 1 }), "take");
  assert.equal(cursor.judge({ type: "run", run: "a", seq: 1 }), "drop");
  assert.equal(cursor.judge({ type: "run", run: "b", seq: 2 }), "drop");
  assert.equal(cursor.judge({ type: "x", run: "a", seq: 3 }), "gap");
  assert.equal(cursor.judge({ type: "x", run: "a", seq: 2 }), "take");
  assert.deepEqual([cursor.run, cursor.seq], ["a", 2]);
  cursor.rewind();
  assert.equal(cursor.judge({ type: "run", run: "a", seq: 1 }), "take");
});

test("whatever arrives, a cursor's frames are a prefix of the run without gap or repeat", () => {
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = seeded(seed);
    const run = makeRun("r", 1 + Math.floor(random() * 20));
    const cursor = new Cursor();
    const taken = [];
    for (let step = 0; step < 200; step += 1) {
      const frame = run[Math.floor(random() * Math.min(run.length, taken.length + 3))];
      if (cursor.judge(frame) === "take") taken.push(frame.seq);
    }
    assert.deepEqual(taken, run.slice(0, taken.length).map(({ seq }) => seq), `seed ${seed}`);
  }
});

test("frames become the seed's events, with their place in the run", () => {
  const place = { run: "r", seq: 4 };
  assert.deepEqual(toEvent({ type: "text-delta", text: "hi", ...place }), { type: "text", content: "hi", ...place });
  assert.deepEqual(toEvent({ type: "text-delta", ...place }), { type: "text", content: "", ...place });
  assert.deepEqual(toEvent({ type: "text-delta", text: 7, ...place }), { type: "text", content: "7", ...place });
  assert.deepEqual(toEvent({ type: "error", error: "no", code: "c", ...place }), {
    type: "error",
    content: "no",
    code: "c",
    ...place,
  });
  assert.deepEqual(toEvent({ type: "process-exit", exitCode: 0, reason: "completed", ...place }), {
    type: "ws-exit",
    exitCode: 0,
    reason: "completed",
    ...place,
  });
  const start = { type: "tool-start", id: "1", name: "Read", input: {}, ...place };
  assert.deepEqual(toEvent(start), start);
  assert.deepEqual(toEvent({ type: "status", phase: "queued", position: 2 }), {
    type: "status",
    phase: "queued",
    position: 2,
  });
  const budget = { type: "budget", scope: "run", text: "Most of it is used up.", ...place };
  assert.deepEqual(toEvent(budget), budget);
  assert.equal(toEvent({ type: "unknown", ...place }), null);
  assert.equal(toEvent({ type: "ping" }), null);
});

test("an event stream means the same wherever it is cut", () => {
  const frames = makeRun();
  for (const newline of ["\n", "\r\n", "\r"]) {
    const lines = frames.flatMap((frame) => [
      `id: ${frame.run}:${frame.seq}`,
      `data: ${JSON.stringify(frame)}`,
      "",
      ": heartbeat",
      "",
    ]);
    const bytes = new TextEncoder().encode([...lines, "data: [DONE]", "", ""].join(newline));
    const whole = new EventStreamParser().push(bytes);
    assert.equal(whole.length, frames.length + 1);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const parser = new EventStreamParser();
      const events = [...parser.push(bytes.subarray(0, cut)), ...parser.push(bytes.subarray(cut))];
      assert.deepEqual(events, whole, `cut at ${cut}`);
    }
    const parser = new EventStreamParser();
    assert.deepEqual(Array.from(bytes, (byte) => parser.push(Uint8Array.of(byte))).flat(), whole);
  }
  assert.equal(expectedSeqs(frames).length, frames.length - 1);
});

test("several data lines are one message, and a leading space is not part of it", () => {
  const parser = new EventStreamParser();
  assert.deepEqual(parser.push(new TextEncoder().encode("data:a\ndata:  b\nevent: x\n\n")), ["a\n b"]);
});
