/** client.js: a run's frames reach the reader exactly once and in order, whatever happens to its connections. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { createClient } from "../../../gateway/static/client/client.js";
import { BACKOFF_CAP_MS, SILENCE_MS } from "../../../gateway/static/client/run-stream.js";
import { RETRY_MS } from "../../../gateway/static/client/socket-health.js";
import { collect, drain, expectedSeqs, fakeGateway, makeRun, seeded, seqsOf, settle } from "../harness.js";

const RUN = makeRun();
const PROMPT = { sessionId: "s1", prompt: "Say hello", cwd: "/workspace", mode: "agent" };

/** Serves frames after the cursor, as a gateway does; `fault` may interfere. */
function replay(peer, frames = RUN) {
  peer.accept();
  for (const frame of frames.slice(Number(peer.params.get("after") ?? 0))) peer.send(frame);
  peer.close(1000);
}

async function run(serve, options = {}, more = {}) {
  const { env, clock, log } = fakeGateway({ serve, ...more });
  const reader = collect(createClient(env).streamWs({ ...PROMPT, ...options }));
  await drain(clock, reader);
  return { events: reader.events, clock, log };
}

const states = (events) => events.filter(({ type }) => type === "connection").map(({ state }) => state);
const wsTries = (log) => log.peers.map(({ params }) => `${params.get("run") ?? ""}:${params.get("after") ?? ""}`);

test("a prompt goes in the first frame, never in the URL, and its run comes back as events", async () => {
  const { events, clock, log } = await run(async (peer) => {
    peer.accept();
    await peer.started;
    for (const frame of RUN) peer.send(frame);
  });
  const [peer] = log.peers;
  assert.equal(peer.url.href, "ws://gateway.test/api/sdk/ws?sessionId=s1&ticket=ticket-1&batch=1");
  const { messageId, ...start } = peer.received[0];
  assert.deepEqual(start, { type: "start", prompt: "Say hello", cwd: "/workspace", mode: "agent" });
  assert.match(messageId, /^[0-9a-f]{32}$/);
  assert.deepEqual(seqsOf(events), expectedSeqs(RUN));
  assert.deepEqual(events.at(-1), { type: "ws-exit", exitCode: 0, reason: "completed", run: "run-1", seq: RUN.length });
  const text = events.filter(({ type }) => type === "text").map(({ content }) => content);
  assert.equal(text.join(""), 'Grüße → 漢字 🙂 plain a\nline "quoted" ');
  assert.equal(peer.closedByClient, true);
  assert.equal(clock.pending, 0, "no timer is left behind");
  assert.equal(log.wake, null, "nothing listens any more");
});

test("the ticket is asked for with the token, for this session, anew for each connection", async () => {
  const { log } = await run((peer, count) => {
    if (count < 3) return peer.close(1006);
    return replay(peer);
  }, { transport: "ws" });
  const asked = log.requests.filter(({ path }) => path === "/api/sdk/ticket");
  assert.equal(asked.length, 3);
  assert.deepEqual(asked[0].body, { sessionId: "s1" });
  assert.equal(asked[0].headers.Authorization, "Bearer jwt");
  assert.deepEqual(log.peers.map(({ params }) => params.get("ticket")), ["ticket-1", "ticket-2", "ticket-3"]);
});

test("attaching asks for what comes after the cursor and sends no prompt", async () => {
  const { events, log } = await run((peer) => replay(peer), { run: "run-1", after: 5 });
  assert.deepEqual(wsTries(log), ["run-1:5"]);
  assert.deepEqual(log.peers[0].received, []);
  assert.deepEqual(seqsOf(events), expectedSeqs(RUN).filter((seq) => seq > 5));
});

test("cut after every frame: everything comes once, from the cursor on", async () => {
  for (let cut = 0; cut < RUN.length; cut += 1) {
    const { events, log } = await run((peer, count) => {
      if (count > 1) return replay(peer);
      peer.accept();
      for (const frame of RUN.slice(0, cut)) peer.send(frame);
      return peer.close(1006);
    });
    assert.deepEqual(seqsOf(events), expectedSeqs(RUN), `cut at ${cut}`);
    assert.deepEqual(wsTries(log), [":", cut ? `run-1:${cut}` : ":"]);
  }
});

test("a message cut at every byte ends the connection, not the stream", async () => {
  const message = RUN.map((frame) => JSON.stringify(frame)).join("\n");
  const bytes = new TextEncoder().encode(message).length;
  for (let cut = 1; cut < bytes; cut += 1) {
    const { events } = await run((peer, count) => {
      if (count > 1) return replay(peer);
      peer.accept();
      peer.sendBytes(new TextDecoder().decode(new TextEncoder().encode(message).subarray(0, cut)));
      return peer.close(1006);
    });
    assert.deepEqual(seqsOf(events), expectedSeqs(RUN), `cut at ${cut}`);
  }
});

test("until the run is known a retry sends the same prompt with the same messageId", async () => {
  const { log } = await run(async (peer, count) => {
    peer.accept();
    await peer.started;
    if (count < 4) return peer.close(1011);
    for (const frame of RUN) peer.send(frame);
  });
  assert.equal(new Set(log.peers.map(({ received }) => JSON.stringify(received[0]))).size, 1);
  assert.equal(log.peers.length, 4);
});

test("a gap reads again from the cursor, at once", async () => {
  const { events, clock, log } = await run((peer, count) => {
    if (count > 1) return replay(peer);
    peer.accept();
    for (const frame of [RUN[0], RUN[1], RUN[4], RUN[5]]) peer.send(frame);
  });
  assert.deepEqual(wsTries(log), [":", "run-1:2"]);
  assert.equal(clock.now(), 0);
  assert.deepEqual(seqsOf(events), expectedSeqs(RUN));
});

test("good frames before a bad one are kept, and what stays bad ends the stream with an error", async () => {
  const lines = (from, to) => RUN.slice(from, to).map((frame) => JSON.stringify(frame));
  const mended = await run((peer, count) => {
    if (count > 1) return replay(peer);
    peer.accept();
    return peer.send([...lines(0, 4), "{", ...lines(4, 6)].join("\n"));
  });
  assert.deepEqual(wsTries(mended.log), [":", "run-1:4"]);
  assert.equal(mended.clock.now(), 0);
  assert.deepEqual(seqsOf(mended.events), expectedSeqs(RUN));
  const hopeless = await run((peer) => {
    peer.accept();
    peer.send([...lines(Number(peer.params.get("after")), 4), "{"].join("\n"));
  });
  assert.deepEqual(seqsOf(hopeless.events), [1, 2, 3, 4]);
  assert.equal(hopeless.events.at(-1).code, "frames-missing");
  assert.equal(hopeless.log.peers.length, 5);
});

test("a frame that is missing for good ends the stream with an error", async () => {
  const { events, log } = await run((peer) => replay(peer, RUN.filter(({ seq }) => seq !== 3)), { run: "run-1" });
  assert.equal(events.at(-1).code, "frames-missing");
  assert.equal(events.at(-1).fatal, true);
  assert.equal(log.peers.length, 5);
});

test("faults of every kind, 400 seeds: exactly once, in order", async () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    const random = seeded(seed);
    const frames = makeRun("run-1", Math.floor(random() * 30));
    const chance = (probability) => random() < probability;
    const { events, clock } = await run(
      (peer, count) => {
        const calm = count > 12;
        if (!calm && chance(0.15)) return peer.close(1006);
        peer.accept();
        let rest = frames.slice(Number(peer.params.get("after") ?? 0));
        if (!calm && chance(0.3)) rest = [...frames.slice(0, 2), ...rest];
        const lines = [];
        for (const frame of rest) {
          if (!calm && chance(0.04)) continue; // missing
          lines.push(frame);
          if (!calm && chance(0.1)) lines.push(frame); // twice
          if (!calm && chance(0.05)) lines.push(frames[Math.floor(random() * frames.length)]); // out of order
          if (chance(0.1)) lines.push({ type: "ping" });
        }
        const cut = calm ? lines.length : Math.floor(random() * (lines.length + 1));
        for (let at = 0; at < cut; ) {
          const size = 1 + Math.floor(random() * 5);
          peer.send(lines.slice(at, Math.min(cut, at + size)).map((line) => JSON.stringify(line)).join("\n"));
          at += size;
        }
        if (!calm && chance(0.1)) peer.send('{"type":"text-del');
        if (!calm && chance(0.2)) return peer.send({ type: "reconnect", delayMs: 40 });
        if (!calm && chance(0.1)) return undefined; // silent for ever
        return peer.close([1000, 1001, 1006, 1011, 1012, 1013][Math.floor(random() * 6)]);
      },
      { transport: "ws" },
      { random },
    );
    assert.deepEqual(seqsOf(events), expectedSeqs(frames), `seed ${seed}`);
    assert.equal(events.at(-1).type, "ws-exit", `seed ${seed}`);
    assert.equal(clock.pending, 0, `seed ${seed}`);
  }
});

test("nothing for 45 s means dead, a crowd comes back spread out; a ping means alive and is answered", async () => {
  const { env, clock, log } = fakeGateway({
    serve: (peer, count) => (count > 1 ? replay(peer) : peer.accept()),
    random: () => 1,
  });
  const reader = collect(createClient(env).streamWs(PROMPT));
  await settle();
  log.peers[0].send(RUN[0]);
  await clock.advance(SILENCE_MS - 1);
  log.peers[0].send({ type: "ping" });
  assert.deepEqual(log.peers[0].received.at(-1), { type: "pong" });
  await clock.advance(SILENCE_MS - 1);
  assert.equal(log.peers.length, 1);
  await clock.advance(2);
  assert.equal(log.peers[0].closedByClient, true);
  assert.equal(log.peers.length, 1);
  await clock.advance(250);
  assert.equal(log.peers.length, 2);
  await drain(clock, reader);
  assert.deepEqual(seqsOf(reader.events), expectedSeqs(RUN));
});

test("pauses grow to the cap with full jitter, and progress makes them short again", async () => {
  const delaysOf = (events) => events.filter(({ state }) => state === "waiting").map(({ delayMs }) => delayMs);
  const { events } = await run((peer, count) => {
    if (count <= 8) return peer.close(1006);
    if (count > 9) return replay(peer);
    peer.accept();
    peer.send(RUN[0]);
    return peer.close(1006);
  }, { transport: "ws" }, { random: () => 1 });
  assert.deepEqual(delaysOf(events), [250, 500, 1000, 2000, 4000, 8000, BACKOFF_CAP_MS, BACKOFF_CAP_MS, 250]);
  const spread = await run((peer, count) => (count <= 8 ? peer.close(1006) : replay(peer)), { transport: "ws" }, {
    random: () => 0.5,
  });
  assert.deepEqual(delaysOf(spread.events), [125, 250, 500, 1000, 2000, 4000, 5000, 5000]);
});

test("the network's or the tab's return ends a pause at once", async () => {
  for (const why of ["online", "visible"]) {
    const { env, clock, log } = fakeGateway({ serve: (peer, count) => (count > 1 ? replay(peer) : peer.close(1006)) });
    const reader = collect(createClient({ ...env, random: () => 1 }).streamWs(PROMPT));
    await settle();
    assert.equal(reader.events.at(-1).state, "waiting");
    log.wake(why);
    await settle();
    assert.equal(clock.now(), 0);
    assert.equal(log.peers.length, 2);
    await drain(clock, reader);
  }
});

test("an open link is made anew when the network is back, and when the tab is back after a silence", async () => {
  const { env, clock, log } = fakeGateway({
    serve: (peer, count) => {
      if (count > 3) return replay(peer);
      peer.accept();
      return peer.send({ type: "timing" });
    },
  });
  const reader = collect(createClient(env).streamWs(PROMPT));
  await settle();
  log.wake("visible");
  await clock.advance(1);
  assert.equal(log.peers.length, 1, "a link that just spoke is trusted");
  log.wake("online");
  await clock.advance(1);
  assert.equal(log.peers.length, 2);
  await clock.advance(26_000);
  log.wake("visible");
  await clock.advance(1);
  assert.equal(log.peers.length, 3);
  log.wake("online");
  await drain(clock, reader);
  assert.deepEqual(seqsOf(reader.events), expectedSeqs(RUN));
});

test("a gateway that goes away says when to come back", async () => {
  const { env, clock, log } = fakeGateway({ serve: (peer, count) => (count > 1 ? replay(peer) : peer.accept()) });
  const reader = collect(createClient(env).streamWs(PROMPT));
  await settle();
  log.peers[0].send(RUN[0]);
  log.peers[0].send({ type: "reconnect", after: 1, delayMs: 700 });
  await clock.advance(699);
  assert.equal(log.peers.length, 1);
  await clock.advance(1);
  assert.deepEqual(wsTries(log), [":", "run-1:1"]);
  await drain(clock, reader);
});

for (const code of [1009, 4400, 4401, 4403, 4404, 4409, 4410]) {
  test(`close code ${code} is final, and the gateway's own words reach the reader`, async () => {
    const { events, log } = await run((peer) => {
      peer.accept();
      peer.send({ type: "error", error: "Because.", code: "its-code" });
      peer.close(code);
    });
    assert.deepEqual(events.at(-1), { type: "error", content: "Because.", code: "its-code", fatal: true });
    assert.equal(log.peers.length, 1);
    const wordless = await run((peer) => {
      peer.accept();
      peer.close(code);
    });
    assert.match(wordless.events.at(-1).content, /\w+ \w+.*\.$/);
  });
}

for (const [code, status] of [["rate-limited", 429], ["quota-reached", 429], ["disk-low", 507]]) {
  test(`a prompt refused as ${code} ends with the gateway's sentence, on either way, and is not sent again`, async () => {
    const error = "You may send 2 prompts a minute, and that is reached: try again in 9 s.";
    const ended = { type: "error", content: error, code, fatal: true };
    const { events, log } = await run(async (peer) => {
      peer.accept();
      await peer.started;
      peer.send({ type: "error", error, code, retryAfter: 9 });
      peer.close(1006); // The close code got lost on the way.
    });
    assert.deepEqual(events.at(-1), ended);
    assert.equal(log.peers.length, 1);
    const refusal = () => Response.json({ error, code, retryAfter: 9 }, { status });
    const http = (path) => (path === "/api/sdk/stream" ? refusal() : undefined);
    const sse = await run(undefined, { transport: "sse" }, { http });
    assert.deepEqual(sse.events.at(-1), ended);
    assert.equal(sse.log.requests.filter(({ path }) => path === "/api/sdk/stream").length, 1);
  });
}

for (const [status, fatal] of [[400, true], [401, true], [403, true], [404, true], [410, true], [408, false], [429, false], [500, false], [503, false]]) {
  test(`a ticket refused with ${status} ${fatal ? "ends the stream" : "is asked for again"}`, async () => {
    let refusals = 0;
    const { events, log } = await run((peer) => replay(peer), {}, {
      http: (path) => {
        if (path !== "/api/sdk/ticket" || refusals++ > 0) return undefined;
        return Response.json({ error: "Not now.", code: "a-code" }, { status });
      },
    });
    if (fatal) assert.deepEqual(events.at(-1), { type: "error", content: "Not now.", code: "a-code", fatal: true });
    else assert.deepEqual(seqsOf(events), expectedSeqs(RUN));
    assert.equal(log.peers.length, fatal ? 0 : 1);
  });
}

test("an error of the run itself is an event, and the run goes on to its end", async () => {
  const frames = [...RUN.slice(0, 3), { type: "error", error: "The model is busy.", code: "overloaded", run: "run-1", seq: 4 }];
  frames.push({ type: "process-exit", exitCode: 1, reason: "failed", run: "run-1", seq: 5 });
  const { events } = await run((peer) => replay(peer, frames));
  assert.deepEqual(events.at(-2), { type: "error", content: "The model is busy.", code: "overloaded", run: "run-1", seq: 4 });
  assert.equal(events.at(-1).reason, "failed");
});

test("a cursor past the end reads the run again from its start and says so", async () => {
  const { events, log } = await run((peer) => {
    peer.accept();
    if (peer.params.get("after") === "0") return replay(peer);
    return peer.close(4416);
  }, { run: "run-1", after: 99 });
  assert.deepEqual(wsTries(log), ["run-1:99", "run-1:0"]);
  assert.deepEqual(events.filter(({ type, seq }) => type === "reset" || seq === 1).map(({ type }) => type), ["reset", "run"]);
  assert.deepEqual(seqsOf(events), expectedSeqs(RUN));
  const hopeless = await run((peer) => {
    peer.accept();
    peer.close(4416);
  }, { run: "run-1", after: 99 });
  assert.equal(hopeless.events.at(-1).fatal, true);
});

test("abort closes the socket and ends the stream without an error, whatever it is doing", async () => {
  const moments = {
    connected: (peer) => peer.accept(),
    waiting: (peer) => peer.close(1006),
    handshaking: () => {},
  };
  for (const [moment, serve] of Object.entries(moments)) {
    const { env, clock, log } = fakeGateway({ serve });
    const abort = new AbortController();
    const reader = collect(createClient(env).streamWs({ ...PROMPT, signal: abort.signal }));
    await settle();
    abort.abort();
    await settle();
    assert.equal(reader.over, true, moment);
    assert.equal(reader.events.some(({ type }) => type === "error"), false, moment);
    assert.equal(clock.pending, 0, moment);
    assert.equal(log.peers[0].closedByClient || moment === "waiting", true, moment);
  }
});

test("abort before the start connects to nothing; abort while asking for a ticket ends it", async () => {
  const { env, log } = fakeGateway();
  const early = collect(createClient(env).streamWs({ ...PROMPT, signal: AbortSignal.abort() }));
  await early.ended;
  assert.deepEqual([early.events, log.requests], [[], []]);

  const abort = new AbortController();
  const hanging = fakeGateway({
    http: (path, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")))),
  });
  const reader = collect(createClient(hanging.env).streamWs({ ...PROMPT, signal: abort.signal }));
  await settle();
  abort.abort();
  await settle();
  assert.equal(reader.over, true);
  assert.equal(hanging.log.peers.length, 0);
});

test("a reader that leaves the loop closes the socket", async () => {
  const { env, clock, log } = fakeGateway({
    serve: (peer) => {
      peer.accept();
      peer.send(RUN[0]);
    },
  });
  for await (const event of createClient(env).streamWs(PROMPT)) {
    if (event.type === "run") break;
  }
  await settle();
  assert.equal(log.peers[0].closedByClient, true);
  assert.equal(clock.pending, 0);
});

/** `POST /api/sdk/stream` as a gateway answers it, in pieces of `size` bytes; `limit` cuts it after so many bytes. */
function eventStream({ headers }, { size = 7, limit = Infinity } = {}) {
  const after = Number(headers["Last-Event-ID"]?.split(":")[1] ?? 0);
  const lines = RUN.slice(after).map((frame) => `id: ${frame.run}:${frame.seq}\ndata: ${JSON.stringify(frame)}\n\n`);
  const bytes = new TextEncoder().encode(`: heartbeat\n\n${lines.join("")}data: [DONE]\n\n`);
  const end = Math.min(bytes.length, limit);
  let at = 0;
  const body = new ReadableStream({
    pull(controller) {
      if (at >= end) return limit < bytes.length ? controller.error(new Error("cut")) : controller.close();
      controller.enqueue(bytes.slice(at, Math.min(end, at + size)));
      at += size;
      return undefined;
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

test("handshakes that never open for a second, while HTTP works, and the run comes as server-sent events", async () => {
  const { events, clock, log } = await run((peer) => peer.close(1006), {}, {
    http: (path, request) => (path === "/api/sdk/stream" ? eventStream(request) : undefined),
    random: () => 1,
  });
  assert.equal(log.peers.length, 4);
  assert.equal(clock.now(), 1000);
  assert.deepEqual(seqsOf(events), expectedSeqs(RUN));
  const [request] = log.requests.filter(({ path }) => path === "/api/sdk/stream");
  assert.equal(request.headers.Authorization, "Bearer jwt");
  assert.equal(request.headers["Last-Event-ID"], undefined);
  const { messageId, ...body } = request.body;
  assert.deepEqual(body, PROMPT);
  assert.match(messageId, /^[0-9a-f]{32}$/);
  assert.deepEqual(events.filter(({ state }) => state === "open").map(({ transport }) => transport), ["sse"]);
});

test("sockets that open and then pass nothing are blocked, too: a short wait for the first frame, then events", async () => {
  const { events, clock, log } = await run((peer) => peer.accept(), {}, {
    http: (path, request) => (path === "/api/sdk/stream" ? eventStream(request) : undefined),
    random: () => 1,
  });
  assert.equal(log.peers.length, 1);
  assert.equal(clock.now(), 1500);
  assert.deepEqual(seqsOf(events), expectedSeqs(RUN));
  const cut = await run(
    (peer) => {
      peer.accept();
      peer.close(1006);
    },
    {},
    { http: (path, request) => (path === "/api/sdk/stream" ? eventStream(request) : undefined), random: () => 1 },
  );
  assert.equal(cut.log.peers.length, 4);
  assert.deepEqual(seqsOf(cut.events), expectedSeqs(RUN));
});

/** What a tab keeps. */
function memory() {
  const kept = new Map();
  return { get: (key) => kept.get(key) ?? null, set: (key, value) => kept.set(key, value), remove: (key) => kept.delete(key) };
}

const opened = ({ events }) => events.filter(({ state }) => state === "open").map(({ transport }) => transport);

test("blocked WebSockets are found out once: the next prompts and the tab's next page go as events at once", async () => {
  for (const serve of [(peer) => peer.close(1006), (peer) => peer.accept(), () => {}]) {
    const { env, clock, log } = fakeGateway({
      serve,
      http: (path, request) => (path === "/api/sdk/stream" ? eventStream(request) : undefined),
      memory: memory(),
    });
    const client = createClient(env);
    await drain(clock, collect(client.streamWs(PROMPT)));
    const [tried, at] = [log.peers.length, clock.now()];
    assert.ok(at <= 2000, `${at} ms to the first text`);
    for (const next of [client, createClient(env)]) {
      const reader = collect(next.streamWs(PROMPT));
      await drain(clock, reader);
      assert.deepEqual(opened(reader), ["sse"]);
    }
    assert.deepEqual([log.peers.length, clock.now()], [tried, at], "no socket was tried, and nothing waited for");
  }
});

test("blocked WebSockets are tried again beside a run, and used for the next prompt once one passes", async () => {
  let blocked = true;
  const { env, clock, log } = fakeGateway({
    serve: (peer) => (blocked ? peer.close(1006) : replay(peer)),
    http: (path, request) => (path === "/api/sdk/stream" ? eventStream(request) : undefined),
    memory: memory(),
  });
  const client = createClient(env);
  await drain(clock, collect(client.streamWs(PROMPT)));
  await clock.advance(RETRY_MS);
  let tried = log.peers.length;
  for (const passes of [false, true]) {
    blocked = !passes;
    const beside = collect(client.streamWs(PROMPT));
    await drain(clock, beside);
    await settle();
    assert.deepEqual(opened(beside), ["sse"]);
    assert.deepEqual(seqsOf(beside.events), expectedSeqs(RUN));
    assert.equal(log.peers.length, (tried += 1), "one, beside the run");
    await clock.advance(RETRY_MS);
  }
  const next = collect(client.streamWs(PROMPT));
  await drain(clock, next);
  assert.deepEqual(opened(next), ["ws"]);
});

test("a clock that was set back keeps no WebSockets blocked", async () => {
  const kept = memory();
  kept.set("vaporforge.sockets-blocked", String(86_400_000));
  const { env, clock } = fakeGateway({
    serve: (peer) => replay(peer),
    http: (path, request) => (path === "/api/sdk/stream" ? eventStream(request) : undefined),
    memory: kept,
  });
  const client = createClient(env);
  for (const way of ["sse", "ws"]) {
    const reader = collect(client.streamWs(PROMPT));
    await drain(clock, reader);
    await settle();
    assert.deepEqual(opened(reader), [way]);
  }
});

test("where WebSockets have passed, a slow handshake is waited for", async () => {
  const slow = async (peer, count) => {
    if (count > 1) await new Promise((resolve) => clock.setTimeout(resolve, 9000));
    replay(peer);
  };
  const { env, clock } = fakeGateway({ serve: slow });
  const client = createClient(env);
  await drain(clock, collect(client.streamWs(PROMPT)));
  const second = collect(client.streamWs(PROMPT));
  await drain(clock, second);
  assert.deepEqual(opened(second), ["ws"]);
});

test("a network that just changed fails some handshakes at once, and WebSockets go on", async () => {
  const { events, log } = await run((peer, count) => (count > 3 ? replay(peer) : peer.close(1006)), {}, { random: () => 0.1 });
  assert.equal(log.peers.length, 4);
  assert.deepEqual(events.filter(({ state }) => state === "open").map(({ transport }) => transport), ["ws"]);
});

test("handshakes that fail while HTTP fails too are an outage: WebSockets go on being tried", async () => {
  const { events, log } = await run((peer, count) => (count > 5 ? replay(peer) : peer.close(1006)), {}, {
    http: (path) => (path === "/api/version" ? new Response("bad gateway", { status: 502 }) : undefined),
  });
  assert.equal(log.peers.length, 6);
  assert.equal(states(events).at(-1), "open");
  assert.deepEqual(seqsOf(events), expectedSeqs(RUN));
});

test("server-sent events cut at every byte go on from the cursor", async () => {
  const total = (await eventStream({ headers: {} }).arrayBuffer()).byteLength;
  for (let limit = 0; limit < total; limit += 1) {
    let tries = 0;
    const cursors = [];
    const { events } = await run(() => {}, { transport: "sse" }, {
      http: (path, request) => {
        if (path !== "/api/sdk/stream") return undefined;
        tries += 1;
        cursors.push(request.headers["Last-Event-ID"]);
        return eventStream(request, tries === 1 ? { limit, size: 64 } : { size: 1024 });
      },
    });
    assert.deepEqual(seqsOf(events), expectedSeqs(RUN), `cut at ${limit}`);
    const seen = Number(cursors[1]?.split(":")[1] ?? 0);
    if (tries > 1 && seen) assert.equal(cursors[1], `run-1:${seen}`);
  }
});

test("what the gateway refuses over server-sent events is final, what it cannot do now is not", async () => {
  const refused = await run((peer) => peer.close(1006), {}, {
    http: (path) =>
      path === "/api/sdk/stream" && Response.json({ error: "Set one.", code: "credential-missing" }, { status: 403 }),
  });
  assert.deepEqual(refused.events.at(-1), { type: "error", content: "Set one.", code: "credential-missing", fatal: true });

  let tries = 0;
  const later = await run(() => {}, { transport: "sse" }, {
    http: (path, request) => {
      if (path !== "/api/sdk/stream") return undefined;
      tries += 1;
      return tries < 3 ? Response.json({ error: "Draining.", code: "draining" }, { status: 503 }) : eventStream(request);
    },
  });
  assert.deepEqual(seqsOf(later.events), expectedSeqs(RUN));
});

test("server-sent events from a real server, through the real fetch", async (t) => {
  const bodies = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    bodies.push({ ...JSON.parse(text), cursor: request.headers["last-event-id"] });
    const after = Number(request.headers["last-event-id"]?.split(":")[1] ?? 0);
    const end = bodies.length === 1 ? 5 : RUN.length;
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const frame of RUN.slice(after, end)) response.write(`id: ${frame.run}:${frame.seq}\ndata: ${JSON.stringify(frame)}\n\n`);
    if (bodies.length === 1) setImmediate(() => response.destroy());
    else response.end("data: [DONE]\n\n");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const client = createClient({ origin: `http://127.0.0.1:${server.address().port}`, token: "jwt", random: () => 0 });
  const reader = collect(client.streamWs({ ...PROMPT, transport: "sse" }));
  await reader.ended;
  assert.deepEqual(seqsOf(reader.events), expectedSeqs(RUN));
  assert.equal(bodies.length, 2);
});

test("persistMessage says whether it was saved and never throws for the gateway's sake", async () => {
  const answers = [Response.json({ success: true }), Response.json({ error: "No.", code: "not-owner" }, { status: 403 })];
  const { env, log } = fakeGateway({ http: () => answers.shift() });
  const { persistMessage } = createClient(env);
  assert.equal(await persistMessage("s1", "text", "sdk-1"), true);
  assert.equal(await persistMessage("s1", "text"), false);
  assert.deepEqual(log.requests[0].body, { sessionId: "s1", content: "text", sdkSessionId: "sdk-1" });
});

test("a token's end in mid-answer waits for another token, and the answer goes on from its cursor", async () => {
  for (const transport of ["ws", "sse"]) {
    let token = "old";
    let signIn;
    const refused = { type: "error", error: "The token has expired; sign in again", code: "unauthorized" };
    const events = (frames) => new Response(frames.map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join(""));
    const { env, clock, log } = fakeGateway({
      token: () => token,
      renew: () => new Promise((resolve) => {
        signIn = () => resolve(true);
      }),
      serve: async (peer, count) => {
        if (count > 1) return replay(peer);
        peer.accept();
        for (const frame of RUN.slice(0, 5)) peer.send(frame);
        peer.send(refused);
        return peer.close(4401);
      },
      http: (path, { headers }) => {
        if (path !== "/api/sdk/stream") return undefined;
        return headers["Last-Event-ID"] ? events(RUN.slice(5)) : events([...RUN.slice(0, 5), refused]);
      },
    });
    const reader = collect(createClient(env).streamWs({ ...PROMPT, transport }));
    await clock.advance(60_000);
    assert.deepEqual(seqsOf(reader.events), [1, 2, 3, 4, 5], "what came stays, and nothing is asked for meanwhile");
    assert.deepEqual([reader.over, reader.events.at(-1).reason], [false, "unauthorized"]);
    token = "new";
    signIn();
    await drain(clock, reader);
    assert.deepEqual(seqsOf(reader.events), expectedSeqs(RUN));
    assert.equal(log.requests.at(-1).headers.Authorization, "Bearer new");
    assert.ok(!reader.events.some(({ fatal }) => fatal));
  }
});

test("a token that is refused before its prompt was sent costs the prompt nothing; without another one it is an error", async () => {
  for (const renews of [true, false]) {
    let token = "old";
    const { env, clock, log } = fakeGateway({
      token: () => token,
      renew: async () => {
        if (renews) token = "new";
        return renews;
      },
      serve: (peer) => replay(peer),
      http: (path, { headers }) => {
        if (headers.Authorization === "Bearer new") return undefined;
        return Response.json({ error: "The token has expired; sign in again", code: "unauthorized" }, { status: 401 });
      },
    });
    const reader = collect(createClient(env).streamWs(PROMPT));
    await drain(clock, reader);
    assert.equal(log.peers.length, renews ? 1 : 0);
    const waits = reader.events.filter(({ state }) => state === "waiting").map(({ reason }) => reason);
    assert.equal(waits[0], "unauthorized", "what is waited for is told");
    if (renews) assert.deepEqual(seqsOf(reader.events), expectedSeqs(RUN));
    else assert.deepEqual([reader.events.at(-1).code, reader.events.at(-1).fatal], ["unauthorized", true]);
  }
});

test("a reader that leaves while another token is waited for ends at once", async () => {
  const abort = new AbortController();
  const { env, clock } = fakeGateway({
    renew: () => new Promise(() => {}),
    http: () => Response.json({ error: "No.", code: "unauthorized" }, { status: 401 }),
  });
  const reader = collect(createClient(env).streamWs({ ...PROMPT, signal: abort.signal }));
  await clock.advance(1000);
  abort.abort();
  await reader.ended;
  assert.equal(clock.pending, 0);
});

/** What the tabs of a browser share: each hears of the others' changes. */
function browser() {
  const kept = memory();
  const tabs = new Set();
  return () => {
    const hear = new Set();
    const tell = () => [...tabs].filter((other) => other !== hear).forEach((other) => other.forEach((changed) => changed()));
    tabs.add(hear);
    return {
      get: kept.get,
      set: (key, value) => tell(kept.set(key, value)),
      remove: (key) => tell(kept.remove(key)),
      onChange: (changed) => {
        hear.add(changed);
        return () => hear.delete(changed);
      },
    };
  };
}

/** A tab whose run comes as events that never end; what is recorded of it grows with `recorded`. */
function eventsTab(shared, more = {}) {
  const tab = { open: 0, recorded: 4 };
  const { env, clock, log } = fakeGateway({
    shared,
    multiplexed: () => false,
    http: (path, { headers, query, signal }) => {
      if (path.startsWith("/api/sdk/replay/")) {
        const after = Number(query.get("after"));
        if (after > tab.recorded) return Response.json({ error: "Ahead.", code: "cursor-ahead" }, { status: 416 });
        return new Response(RUN.slice(after, tab.recorded).map((frame) => `${JSON.stringify(frame)}\n`).join(""));
      }
      if (path !== "/api/sdk/stream") return undefined;
      const after = Number(headers["Last-Event-ID"]?.split(":")[1] ?? 0);
      tab.open += 1;
      signal.addEventListener("abort", () => (tab.open -= 1));
      const text = RUN.slice(after, 6).map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join("");
      const body = new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode(text)) });
      return new Response(body);
    },
    ...more,
  });
  const abort = new AbortController();
  tab.reader = collect(createClient(env).streamWs({ ...PROMPT, transport: "sse", signal: abort.signal }));
  return Object.assign(tab, { clock, log, abort, wake: (why) => log.wake(why) });
}

test("over HTTP/1.1 one tab has a stream of events, the last that took it; the others read what is recorded, all of it", async () => {
  const shared = browser();
  const tabs = [];
  for (let count = 0; count < 7; count += 1) {
    tabs.push(eventsTab(shared()));
    await settle();
  }
  assert.deepEqual(tabs.map(({ open }) => open), [0, 0, 0, 0, 0, 0, 1]);
  const [first, last] = [tabs[0], tabs.at(-1)];
  await first.clock.advance(3000);
  assert.deepEqual(seqsOf(first.reader.events), expectedSeqs(RUN).slice(0, 6), "ahead of the store is no error");
  assert.equal(opened(first.reader).at(-1), "poll");
  first.wake("visible");
  await first.clock.advance(1000);
  assert.deepEqual([first.open, last.open], [1, 0], "who comes back has it");
  first.abort.abort();
  await first.reader.ended;
  await last.clock.advance(1000);
  assert.deepEqual([first.open, last.open], [0, 1], "who leaves gives it back");
  last.recorded = tabs[1].recorded = RUN.length;
  await drain(tabs[1].clock, tabs[1].reader);
  assert.deepEqual(seqsOf(tabs[1].reader.events), expectedSeqs(RUN));
  for (const { abort } of tabs) abort.abort();
});

test("a network that is back leaves the stream with the tab that has it: all of them hear of it, in no order", async () => {
  const shared = browser();
  const tabs = [];
  for (let count = 0; count < 3; count += 1) {
    tabs.push(eventsTab(shared()));
    await settle();
  }
  for (const tab of [tabs[2], tabs[0], tabs[1]]) {
    tab.wake("online");
    await tab.clock.advance(3000);
  }
  assert.deepEqual(tabs.map(({ open }) => open), [0, 0, 1]);
  for (const { abort } of tabs) abort.abort();
});

test("a prompt that leaves a tab takes nothing from the stream that is on in it", async () => {
  const shared = browser();
  const other = eventsTab(shared());
  await settle();
  let open = 0;
  const { env } = fakeGateway({
    shared: shared(),
    multiplexed: () => false,
    http: (path, { signal }) => {
      if (path !== "/api/sdk/stream") return undefined;
      open += 1;
      signal.addEventListener("abort", () => (open -= 1));
      const text = RUN.slice(0, 3).map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join("");
      return new Response(new ReadableStream({ start: (stream) => stream.enqueue(new TextEncoder().encode(text)) }));
    },
  });
  const client = createClient(env);
  const [on, queued] = [new AbortController(), new AbortController()];
  collect(client.streamWs({ ...PROMPT, transport: "sse", signal: on.signal }));
  const waits = collect(client.streamWs({ ...PROMPT, transport: "sse", signal: queued.signal }));
  await settle();
  queued.abort();
  await waits.ended;
  await other.clock.advance(3000);
  assert.deepEqual([open, other.open], [1, 0]);
  on.abort();
  other.abort.abort();
});

test("a browser whose storage is full sends a prompt as events all the same", async () => {
  const full = { get: () => null, remove() {}, onChange: () => () => {} };
  full.set = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  const tab = eventsTab(full);
  await settle();
  assert.equal(tab.open, 1);
  assert.deepEqual(seqsOf(tab.reader.events), expectedSeqs(RUN).slice(0, 6));
  tab.abort.abort();
  await tab.reader.ended;
});

test("where requests share a connection every tab has a stream of its own", async () => {
  const shared = browser();
  const tabs = [1, 2, 3].map(() => eventsTab(shared(), { multiplexed: () => true }));
  await settle();
  assert.deepEqual(tabs.map(({ open }) => open), [1, 1, 1]);
  for (const { abort } of tabs) abort.abort();
});
