/** chat.js: what is shown of a session, whatever happens between two reads, and that no prompt is ever lost. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Chat } from "../../../gateway/static/chat/chat.js";
import { Outbox } from "../../../gateway/static/chat/outbox.js";
import { ApiError } from "../../../gateway/static/client/client.js";
import { own, tab } from "../../../gateway/static/shared/storage.js";
import { settle } from "../harness.js";
import { FakeStreams, FakeTranscript } from "./fakes.js";

globalThis.document = { visibilityState: "visible", addEventListener() {}, removeEventListener() {} };

const at = (second) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
const aborted = (signal) => new Promise((_, reject) => signal?.addEventListener("abort", () => reject(new ApiError("aborted"))));

/** A gateway with one session, and streams that the test feeds. */
class World {
  session = { id: "s1", title: "Named", updatedAt: at(0), activeRun: null, queue: [], sdkSessionId: "" };
  messages = [];
  gateway = new FakeStreams();
  stops = [];
  reads = [];
  /** Called before each read is answered: `(kind) => Promise | void`. */
  before = () => {};
  transcript = new FakeTranscript();
  problems = [];
  looks = [];
  told = [];
  modes = [];

  api = {
    getSession: (id, { signal } = {}) => this.#read("session", signal, () => structuredClone(this.session)),
    messages: (id, { cursor, signal } = {}) =>
      this.#read(cursor ? "earlier" : "messages", signal, () => ({ messages: structuredClone(this.messages).reverse(), cursor: this.cursor ?? null })),
    here: (iso) => Date.parse(iso),
    now: () => Date.parse(at(30)),
    stop: async (id, run) => void this.stops.push(run),
    renameSession: async (id, title) => Object.assign(this.session, { title }),
  };

  async #read(kind, signal, answer) {
    this.reads.push(kind);
    await Promise.race([this.before(kind), aborted(signal)]);
    return answer();
  }

  client = {
    api: this.api,
    streamWs: (request) => this.gateway.streamWs(request),
  };

  get streams() {
    return this.gateway.streams;
  }

  /** Something happens to the session. */
  change(changes) {
    this.session = { ...this.session, ...changes, updatedAt: at(this.clock = (this.clock ?? 0) + 1) };
  }

  open() {
    this.chat = new Chat(this.client, this.transcript, "s1", {
      changed: () => {},
      onSession: (session) => this.told.push(session),
      onProblem: (error) => this.problems.push(error),
      onMode: (mode) => this.modes.push(mode),
      onLooked: (error) => this.looks.push(error),
    });
    this.chat.open();
    return settle();
  }

  get prompts() {
    return this.streams.map(({ request }) => request.prompt ?? request.run);
  }

  get unconfirmed() {
    return new Outbox("s1").entries.map(({ prompt }) => prompt);
  }
}

const user = (id, run, content = `prompt ${id}`) => ({ id, role: "user", run, content, parts: [] });
const answer = (id, run, content = `answer ${id}`) => ({ id, role: "assistant", run, content, parts: [], meta: {} });
const timing = (run) => ({ type: "timing", run });
const text = (run, content, seq = 2) => ({ type: "text", run, seq, content });

let world;
let tick;

/** A test with a world of its own, whose timers move by `tick`, and whose chat is closed at the end. */
function chatTest(name, body) {
  test(name, async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    own.clear();
    tab.clear();
    world = new World();
    tick = async (ms) => {
      t.mock.timers.tick(ms);
      await settle();
    };
    await body();
    world.chat?.close();
    await settle();
  });
}

chatTest("an answer that no run wrote is shown once, however often it is read", async () => {
  world.messages = [user("m1", "r1"), answer("m2", "r1"), answer("p1", null, "persisted")];
  await world.open();
  for (let times = 0; times < 3; times += 1) {
    world.change({});
    await tick(2000);
  }
  assert.deepEqual(world.transcript.shown.map(({ text: shown }) => shown), ["answer m2", "persisted"]);
  assert.deepEqual(world.transcript.turns.map(({ fills }) => fills), [1, 1]);
});

chatTest("what the gateway has counted of an answer reaches the turn that is shown already", async () => {
  world.messages = [user("m1", "r1"), answer("m2", "r1")];
  await world.open();
  world.messages = [user("m1", "r1"), { ...answer("m2", "r1"), meta: { costUsd: 0.5 } }];
  world.change({});
  await tick(2000);
  assert.equal(world.transcript.turns[0].meta.costUsd, 0.5);
  assert.equal(world.transcript.turns[0].fills, 1);
});

chatTest("a run begins at the gateway's time, whatever the clock here says: a later read of the list is the newer one", async () => {
  await world.open();
  world.chat.send("prompt", "agent");
  await settle();
  world.streams[0].push({ type: "run", run: "r1", seq: 1 });
  await settle();
  const { activeRun, updatedAt } = world.told.at(-1);
  assert.deepEqual([activeRun, updatedAt], ["r1", at(30)]);
});

chatTest("a prompt that is cancelled while it waits leaves the session's run on", async () => {
  await world.open();
  for (const [index, run] of ["r1", "r2"].entries()) {
    world.chat.send(`prompt ${run}`, "agent");
    await settle();
    if (index) world.streams[1].push({ type: "status", phase: "queued", run, position: 1 });
    else world.streams[0].push({ type: "run", run, seq: 1 });
    await settle();
  }
  world.streams[1].push({ type: "run", run: "r2", seq: 1 }, { type: "ws-exit", run: "r2", seq: 2, reason: "stopped" });
  world.streams[1].end();
  await settle();
  assert.equal(world.told.at(-1).activeRun, "r1");
  assert.equal(world.chat.active.turn.run, "r1");
});

chatTest("a name that the reader gave stays, whatever was read before and whatever begins behind it", async () => {
  await world.open();
  let answer;
  world.before = (kind) => kind === "messages" && new Promise((resolve) => (answer = resolve));
  world.change({});
  await tick(2000);
  world.chat.renamed({ title: "Another name", updatedAt: at(20) });
  assert.deepEqual([world.told.at(-1).title, world.told.at(-1).updatedAt], ["Another name", at(20)]);
  answer();
  await settle();
  world.before = () => {};
  world.chat.send("prompt", "agent");
  await settle();
  world.streams[0].push({ type: "run", run: "r1", seq: 1 });
  await settle();
  assert.deepEqual([world.told.at(-1).activeRun, world.told.at(-1).title], ["r1", "Another name"]);
});

chatTest("a prompt that is admitted between two reads is not taken for one that was stopped", async () => {
  world.before = (kind) => {
    if (kind !== "messages" || world.messages.length) return; // once
    world.messages = [user("m1", "r1")];
    world.change({ activeRun: "r1" });
  };
  await world.open();
  const [turn] = world.transcript.turns;
  assert.deepEqual([turn.notes, turn.live], [[], true]);
  assert.deepEqual(world.prompts, ["r1"]);
});

chatTest("a session that changes faster than it can be read ends no turn, and is read again", async () => {
  world.messages = [user("m1", "r1")];
  world.before = (kind) => kind === "messages" && world.change({});
  await world.open();
  const [turn] = world.transcript.turns;
  assert.deepEqual(turn.notes, []);
  assert.ok(world.reads.length <= 10, "bounded");
  world.before = () => {};
  await tick(2000);
  assert.deepEqual(turn.notes, ["stopped"]);
});

chatTest("a turn that is followed is not ended by what was read", async () => {
  await world.open();
  world.chat.send("first", "agent");
  world.chat.send("second", "agent");
  await settle();
  world.streams[0].push(timing("r1"));
  await settle();
  world.streams[1].push(timing("r2"), { type: "status", phase: "queued", position: 1 });
  world.messages = [user(world.streams[0].request.messageId, "r1", "first"), answer("a1", "r1")];
  world.messages.push(user(world.streams[1].request.messageId, "r2", "second"));
  world.change({}); // the second run is over, by this; its frames are still to come
  world.streams[0].push({ type: "ws-exit", run: "r1", seq: 1, reason: "completed" });
  world.streams[0].end();
  await settle();
  await tick(300);
  assert.ok(world.reads.length > 3);
  const turn = world.transcript.find({ run: "r2" });
  assert.deepEqual([turn.notes, turn.finished], [[], false]);
});

chatTest("a first read that fails is made again, and what was typed meanwhile is sent then", async () => {
  new Outbox("s1").put({ messageId: "old", prompt: "typed before a reload", mode: "agent" });
  world.messages = [user("m1", "r1"), answer("m2", "r1")];
  let failures = 2;
  world.before = () => {
    if (failures-- > 0) throw new ApiError("Away.", { status: 503, code: "store-unavailable" });
  };
  await world.open();
  assert.equal(world.chat.session, null);
  world.chat.send("typed too early", "plan");
  await settle();
  assert.deepEqual(world.prompts, []);
  assert.equal(world.chat.waiting[0].turn.prompt, "typed too early");
  await tick(2000);
  assert.deepEqual(world.looks.map((error) => error?.code), ["store-unavailable", "store-unavailable"]);
  await tick(2000);
  assert.equal(world.looks.at(-1), null);
  assert.equal(world.transcript.shown[0].text, "answer m2");
  assert.deepEqual(world.prompts, ["typed before a reload"]);
  world.streams[0].push(timing("r2"));
  await settle();
  assert.deepEqual(world.prompts, ["typed before a reload", "typed too early"]);
  assert.equal(world.streams[1].request.mode, "plan");
  world.streams[1].push(timing("r3"));
  await settle();
  assert.deepEqual(world.unconfirmed, []);
});

chatTest("a prompt from before a reload is sent again unless its run is known", async () => {
  for (const messageId of ["m1", "m2"]) new Outbox("s1").put({ messageId, prompt: messageId, mode: "agent" });
  world.messages = [user("m1", "r1"), answer("a1", "r1")];
  await world.open();
  assert.deepEqual(world.prompts, ["m2"]);
  assert.deepEqual(world.unconfirmed, ["m2"]);
});

chatTest("what waits for the session can be cancelled, twice, and is never sent", async () => {
  world.before = () => {
    throw new ApiError("Away.", { status: 503 });
  };
  await world.open();
  world.chat.send("never said", "agent");
  const [{ turn }] = world.chat.waiting;
  await world.chat.cancel(turn);
  await world.chat.cancel(turn);
  world.before = () => {};
  await tick(2000);
  assert.deepEqual([world.prompts, world.unconfirmed, world.transcript.turns], [[], [], []]);
});

chatTest("leaving a session lets prompts that are on their way arrive, and touches nothing any more", async () => {
  await world.open();
  world.chat.send("first", "agent");
  world.chat.send("second", "agent");
  await settle();
  world.chat.close();
  world.transcript.clear();
  await settle();
  const [first] = world.streams;
  assert.equal(first.request.signal.aborted, false);
  first.push({ type: "connection", state: "open", transport: "ws" }, timing("r1"), text("r1", "hello"));
  await settle();
  assert.equal(first.request.signal.aborted, true);
  assert.deepEqual(world.prompts, ["first", "second"]);
  assert.deepEqual(world.unconfirmed, ["second"]);
  world.streams[1].push({ type: "error", content: "No.", code: "unauthorized", fatal: true });
  await settle();
  assert.equal(world.streams[1].request.signal.aborted, true);
  assert.deepEqual(world.unconfirmed, ["second"], "a refusal that nobody saw");
  assert.deepEqual([world.transcript.turns, world.problems], [[], []]);
});

chatTest("leaving a session that could not be read yet sends what was typed", async () => {
  world.before = () => {
    throw new ApiError("Away.", { status: 503 });
  };
  await world.open();
  world.chat.send("typed too early", "agent");
  world.chat.close();
  world.transcript.clear();
  await settle();
  assert.deepEqual(world.prompts, ["typed too early"]);
  assert.deepEqual(world.transcript.turns, []);
});

chatTest("leaving a session ends what follows a run that the gateway has", async () => {
  await world.open();
  world.chat.send("first", "agent");
  await settle();
  world.streams[0].push(timing("r1"));
  await settle();
  world.chat.close();
  assert.equal(world.streams[0].request.signal.aborted, true);
});

chatTest("a stop is asked for once, whoever learns the run's name first", async () => {
  await world.open();
  world.chat.send("first", "agent");
  await settle();
  world.streams[0].push({ type: "status", phase: "queued", position: 1 }); // which run it is, is not said
  await settle();
  const [{ turn }] = world.chat.waiting;
  await world.chat.cancel(turn);
  assert.deepEqual(world.stops, []);
  world.messages = [user(turn.messageId, "r1", "first")];
  world.change({ queue: ["r1"] });
  await tick(2000);
  assert.deepEqual(world.stops, ["r1"], "the poller knew it first");
  world.streams[0].push(timing("r1"));
  await world.chat.cancel(turn);
  await settle();
  assert.deepEqual(world.stops, ["r1"]);
});

chatTest("a second click on Cancel, when the prompt is gone, is no error", async () => {
  await world.open();
  world.chat.send("first", "agent");
  world.chat.send("second", "agent");
  await settle();
  const [{ turn }] = world.chat.waiting;
  await world.chat.cancel(turn);
  await settle();
  await world.chat.cancel(turn);
  assert.deepEqual(world.prompts, ["first"]);
});

chatTest("what cannot be shown ends its turn with a note, once, and is not read again from its start", async () => {
  const shouted = [];
  const { error } = console;
  console.error = (reason) => shouted.push(reason);
  world.messages = [user("m1", "r1")];
  world.change({ activeRun: "r1" });
  await world.open();
  world.streams[0].push(text("r1", "one "), { type: "text", run: "r1", seq: 3 });
  await settle();
  for (let times = 0; times < 3; times += 1) await tick(2000);
  console.error = error;
  const [turn] = world.transcript.turns;
  assert.equal(world.streams.length, 1);
  assert.equal(turn.text, "one ");
  assert.match(turn.notes.join(), /^This answer cannot be shown/);
  assert.ok(shouted[0] instanceof TypeError);
});

chatTest("a run is attached to from its start on an empty turn", async () => {
  world.messages = [user("m1", "r1")];
  world.change({ activeRun: "r1" });
  await world.open();
  world.streams[0].push(text("r1", "one two "));
  await settle();
  world.streams[0].end(); // broken off without the run's end
  await settle();
  await tick(2000);
  assert.equal(world.streams.length, 2);
  world.streams[1].push(text("r1", "one two three"));
  await settle();
  assert.equal(world.transcript.turns[0].text, "one two three");
});

chatTest("the clock of a run that is on begins with its prompt, or with the end of what it waited for", async () => {
  const asked = { ...user("m1", "r1"), createdAt: at(0) };
  const queued = { ...user("m2", "r2"), createdAt: at(1) };
  world.messages = [asked];
  world.change({ activeRun: "r1", queue: [] });
  await world.open();
  assert.equal(world.chat.active.since, Date.parse(at(0)));
  world.chat.close();
  world.messages = [asked, queued, { ...answer("m3", "r1"), createdAt: at(5) }];
  world.change({ activeRun: "r2" });
  world.transcript = new FakeTranscript();
  await world.open();
  assert.equal(world.chat.active.since, Date.parse(at(5)));
});

chatTest("who comes back to a session finds the place that was left, and its end when that was followed", async () => {
  world.messages = [user("m1", "r1"), answer("m2", "r1")];
  await world.open();
  world.transcript.place = { run: "r1", offset: 12 };
  world.chat.close();
  world.transcript.place = null;
  await world.open();
  assert.deepEqual(world.transcript.wentTo, [null, { run: "r1", offset: 12 }]);
  world.chat.close();
  await world.open();
  assert.deepEqual(world.transcript.wentTo.at(-1), null);
});

chatTest("a session's mode is that of its last prompt, recorded or on its way", async () => {
  world.messages = [{ ...user("m1", "r1"), meta: { mode: "agent" } }, answer("m2", "r1"), { ...user("m3", "r2"), meta: { mode: "plan" } }];
  await world.open();
  assert.deepEqual(world.modes, ["plan"]);
  assert.deepEqual(world.transcript.turns.map(({ mode }) => mode), ["agent", "plan"]);
  world.chat.close();
  new Outbox("s1").put({ messageId: "m9", prompt: "later", mode: "agent" });
  await world.open();
  assert.deepEqual(world.modes, ["plan", "agent"]);
});

chatTest("earlier messages that arrive when another session is open are not shown in it", async () => {
  world.messages = [user("m1", "r1"), answer("m2", "r1")];
  world.cursor = "before";
  await world.open();
  let release;
  world.before = () => new Promise((resolve) => (release = resolve));
  const loading = world.chat.earlier();
  await settle();
  world.chat.close();
  world.transcript.clear();
  release();
  await loading;
  assert.deepEqual(world.transcript.turns, []);
});

chatTest("over server-sent events only the run that is on holds a connection", async () => {
  await world.open();
  world.chat.send("first", "agent");
  world.chat.send("second", "agent");
  await settle();
  const sse = { type: "connection", state: "open", transport: "sse" };
  world.streams[0].push(sse, timing("r1"), { type: "run", run: "r1", seq: 1 });
  await settle();
  world.messages = [user(world.streams[0].request.messageId, "r1", "first"), user(world.streams[1].request.messageId, "r2", "second")];
  world.change({ activeRun: "r1", queue: ["r2"] });
  world.streams[1].push(sse, timing("r2"), { type: "status", phase: "queued", position: 1 });
  await settle();
  assert.equal(world.streams[1].request.signal.aborted, true);
  assert.equal(world.chat.waiting.map(({ turn }) => turn.prompt).join(), "second");
  assert.deepEqual(world.unconfirmed, []);
  world.messages.push(answer("a1", "r1"));
  world.change({ activeRun: "r2", queue: [] });
  world.streams[0].push({ type: "ws-exit", run: "r1", seq: 2, reason: "completed" });
  world.streams[0].end();
  await settle();
  await tick(300);
  assert.deepEqual(world.prompts, ["first", "second", "r2"]);
  assert.deepEqual(world.transcript.shown.map(({ prompt }) => prompt), ["first", "second"]);
  assert.deepEqual(world.chat.waiting, []);
});

chatTest("over a WebSocket a run that waits is followed, and tells its place", async () => {
  await world.open();
  world.chat.send("first", "agent");
  world.chat.send("second", "agent");
  await settle();
  world.streams[0].push(timing("r1"), { type: "run", run: "r1", seq: 1 });
  await settle();
  world.streams[1].push({ type: "connection", state: "open", transport: "ws" }, timing("r2"), { type: "status", phase: "queued", position: 1 });
  await settle();
  assert.equal(world.streams[1].request.signal.aborted, false);
  assert.equal(world.chat.waiting[0].position, 1);
});

chatTest("a prompt that is refused is handed back, and is not sent again", async () => {
  await world.open();
  world.chat.send("too much", "agent");
  await settle();
  world.streams[0].push({ type: "error", content: "Sign in.", code: "unauthorized", fatal: true });
  world.streams[0].end();
  await settle();
  assert.deepEqual(world.problems.map(({ code, prompt, told }) => [code, prompt, told]), [["unauthorized", "too much", true]]);
  assert.deepEqual(world.unconfirmed, []);
});
