/** sender.js: prompts go in the order of typing, once for sure, and only when they may. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Outbox } from "../../../gateway/static/chat/outbox.js";
import { Sender } from "../../../gateway/static/chat/sender.js";
import { own } from "../../../gateway/static/shared/storage.js";
import { settle } from "../harness.js";
import { FakeTranscript } from "./fakes.js";

/** Runs that note what is started, and of each when its turn to be sent comes. */
class FakeRuns {
  idle = true;
  started = [];
  ready = [];
  cancelled = [];

  start(turn, request, ready) {
    const abort = new AbortController();
    const run = { turn, request, abort };
    run.admission = new Promise((resolve) => {
      run.admit = resolve;
    });
    this.started.push(run);
    ready(run).then(() => this.ready.push(request.prompt));
  }

  async cancel(turn) {
    this.cancelled.push(turn);
  }

  get prompts() {
    return this.started.map(({ request }) => request.prompt);
  }
}

let runs;
let transcript;
let firsts;
let changes;
let sender;

const unconfirmed = () => new Outbox("s1").entries.map(({ prompt }) => prompt);

beforeEach(() => {
  own.clear();
  runs = new FakeRuns();
  transcript = new FakeTranscript();
  firsts = [];
  changes = 0;
  sender = new Sender("s1", transcript, runs, {
    changed: () => (changes += 1),
    onFirst: (prompt) => firsts.push(prompt),
  });
});

test("nothing is sent before flush, then all of it, in the order of typing, and from then on at once", () => {
  sender.send("first", "agent");
  sender.send("second", "plan");
  assert.deepEqual(runs.prompts, []);
  assert.deepEqual(sender.held.map(({ turn, position }) => [turn.prompt, position]), [["first", 0], ["second", 0]]);
  assert.equal(changes, 2);
  sender.flush();
  assert.deepEqual(sender.held, []);
  sender.send("third", "agent");
  assert.deepEqual(runs.prompts, ["first", "second", "third"]);
  assert.deepEqual(runs.started.map(({ request }) => request.mode), ["agent", "plan", "agent"]);
  assert.deepEqual(new Set(runs.started.map(({ request }) => request.onBusy)), new Set(["queue"]));
  assert.equal(transcript.turns.length, 3, "a prompt that was held keeps its turn");
});

test("a prompt is kept until the gateway has it, under one id for all tries", () => {
  sender.flush();
  sender.send("first", "agent");
  sender.send("second", "agent");
  assert.deepEqual(unconfirmed(), ["first", "second"]);
  const [{ turn }, { request }] = runs.started;
  sender.settled(turn);
  assert.deepEqual(unconfirmed(), ["second"]);

  const reloaded = new FakeRuns();
  new Sender("s1", new FakeTranscript(), reloaded, { changed() {}, onFirst() {} }).flush();
  assert.deepEqual(reloaded.started.map(({ request: again }) => again), [request]);
});

test("what is known to be a run already is not sent again", () => {
  for (const messageId of ["m1", "m2"]) new Outbox("s1").put({ messageId, prompt: messageId, mode: "agent" });
  transcript.add({ messageId: "m1", run: "r1" });
  transcript.add({ messageId: "m2" });
  sender.flush();
  assert.deepEqual(runs.prompts, ["m2"]);
  assert.deepEqual(unconfirmed(), ["m2"]);
  assert.equal(transcript.turns.length, 2);
});

test("each prompt waits until the gateway has those before it", async () => {
  sender.flush();
  for (const prompt of ["first", "second", "third"]) sender.send(prompt, "agent");
  await settle();
  assert.deepEqual(runs.ready, ["first"]);
  runs.started[1].admit(); // out of its turn: cancelled, or found by reading
  await settle();
  assert.deepEqual(runs.ready, ["first"]);
  runs.started[0].admit();
  await settle();
  assert.deepEqual(runs.ready, ["first", "second", "third"]);
});

test("a prompt that is cancelled in its wait does not keep it up, nor let those behind it pass", async () => {
  sender.flush();
  for (const prompt of ["first", "second", "third"]) sender.send(prompt, "agent");
  runs.started[1].abort.abort();
  await settle();
  assert.deepEqual(runs.ready, ["first", "second"]);
  runs.started[1].admit();
  await settle();
  assert.deepEqual(runs.ready, ["first", "second"], "the first is still on its way");
  runs.started[0].admit();
  await settle();
  assert.deepEqual(runs.ready, ["first", "second", "third"]);
});

test("cancelling what is held forgets it; what was sent is for its run to cancel; neither is kept", async () => {
  sender.send("never said", "agent");
  const [{ turn }] = sender.held;
  await sender.cancel(turn);
  assert.deepEqual([transcript.turns, runs.cancelled, unconfirmed()], [[], [], []]);
  sender.flush();
  sender.send("said", "agent");
  await sender.cancel(runs.started[0].turn);
  assert.deepEqual(runs.cancelled, [runs.started[0].turn]);
  assert.deepEqual([runs.prompts, unconfirmed()], [["said"], []]);
});

test("the first prompt is told when it is sent, and none behind a run that is followed", () => {
  sender.send("first", "agent");
  assert.deepEqual(firsts, []);
  sender.flush();
  runs.idle = false;
  sender.send("second", "agent");
  assert.deepEqual(firsts, ["first"]);
});
