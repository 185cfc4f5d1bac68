/** A terminal's stream against a shell behind sockets that break at any byte: all of it once, both ways. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "../../../gateway/static/client/client.js";
import { MOST_TYPED, TerminalStream } from "../../../gateway/static/client/terminal-stream.js";
import { fakeGateway, seeded, settle } from "../harness.js";

const SAID = Uint8Array.from({ length: 4000 }, (_, at) => (at * 31) % 251);

/** A shell that has said SAID, and takes what is typed; its sockets are `shell.sockets`. */
function world({ random = seeded(1), ticket = () => undefined } = {}) {
  const shell = { typed: [], sockets: [], size: { cols: 80, rows: 24 } };
  class Socket {
    constructor(href) {
      this.params = new URL(href).searchParams;
      this.path = new URL(href).pathname;
      this.said = [];
      this.at = Number(this.params.get("cursor"));
      this.isOpen = true;
      shell.sockets.push(this);
    }
    begin(more = {}) {
      this.frame({ type: "terminal", id: "t", cursor: this.at, missed: 0, input: shell.typed.length, ...shell.size, ...more });
      this.at = more.cursor ?? this.at;
    }
    frame(frame) {
      this.onmessage?.({ data: JSON.stringify(frame) });
    }
    say(count) {
      this.onmessage?.({ data: SAID.slice(this.at, this.at + count).buffer });
      this.at = Math.min(SAID.length, this.at + count);
    }
    send(data) {
      if (typeof data === "string") this.said.push(JSON.parse(data));
      else if (this.isOpen && this === shell.sockets.at(-1)) shell.typed.push(...data);
    }
    /** Breaks, whatever is on its way. */
    cut(code = 1006) {
      this.isOpen = false;
      this.onclose?.({ code });
    }
    close(code) {
      this.isOpen = false;
      this.closed = code;
    }
  }
  const { env, clock, log } = fakeGateway({ random, http: (path) => (path === "/api/sdk/ticket" ? ticket() : undefined), WebSocket: Socket });
  const seen = { output: [], states: [], begins: [], sizes: [] };
  const stream = createClient(env).connect(
    (whole, api) =>
      new TerminalStream(whole, api, { sessionId: "s1", terminal: "t" }, {
        onBegin: (told) => seen.begins.push(told),
        onOutput: (bytes, cursor) => {
          seen.output.push(...bytes);
          stream.ack(cursor);
        },
        onSize: (size) => seen.sizes.push(size),
        onState: (state, detail) => seen.states.push([state, detail]),
      }),
  );
  return { shell, clock, log, seen, stream };
}

const states = (seen) => seen.states.map(([state]) => state);

test("a ticket and no token is in the address, and the stream begins with what there is", async () => {
  const { shell, seen, log } = world();
  await settle();
  const [socket] = shell.sockets;
  assert.equal(socket.path, "/api/sdk/terminal");
  assert.deepEqual([...socket.params.keys()].sort(), ["acks", "client", "cursor", "sessionId", "terminal", "ticket"]);
  assert.ok(!JSON.stringify([...socket.params]).includes("jwt"));
  assert.deepEqual(log.requests[0].body, { sessionId: "s1" });
  socket.begin();
  socket.say(100);
  assert.deepEqual(seen.output, [...SAID.slice(0, 100)]);
  assert.deepEqual(states(seen), ["connecting", "open"]);
  assert.deepEqual(seen.begins, [{ missed: 0, cols: 80, rows: 24, anew: true }]);
});

test("cut anywhere, 200 seeds: what is said and what is typed comes once", async () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = seeded(seed);
    const { shell, clock, seen, stream } = world({ random });
    const typed = [];
    const type = () => {
      const bytes = Uint8Array.from({ length: 1 + Math.floor(random() * 40) }, () => Math.floor(random() * 256));
      typed.push(...bytes);
      stream.type(bytes);
    };
    for (let turn = 0; seen.output.length < SAID.length && turn < 500; turn += 1) {
      await settle();
      const socket = shell.sockets.at(-1);
      if (!socket?.isOpen) {
        type();
        await clock.advance(11_000);
        continue;
      }
      if (random() < 0.1) {
        socket.cut();
        continue;
      }
      socket.begin();
      for (let step = 0; step < 1 + random() * 6 && socket.isOpen; step += 1) {
        if (random() < 0.7) socket.say(Math.floor(random() * 300));
        if (random() < 0.5) type();
        if (random() < 0.4) socket.frame({ type: "input", taken: shell.typed.length });
      }
      if (random() < 0.9) socket.cut(random() < 0.5 ? 1006 : 1013);
      else await clock.advance(60_000); // it is silent, and found dead
    }
    shell.sockets.at(-1).cut();
    await clock.advance(11_000);
    shell.sockets.at(-1).begin();
    assert.deepEqual(seen.output, [...SAID], `seed ${seed}`);
    assert.deepEqual(shell.typed, typed, `seed ${seed}`);
    stream.close();
    assert.equal(clock.pending, 0);
  }
});

test("what is shown is told, at once where it is much and a moment later where it is little", async () => {
  const { shell, clock, stream } = world();
  await settle();
  const [socket] = shell.sockets;
  socket.begin();
  socket.say(10);
  assert.deepEqual(socket.said, []);
  await clock.advance(250);
  assert.deepEqual(socket.said, [{ type: "ack", cursor: 10 }]);
  stream.ack(10 + 64 * 1024);
  assert.deepEqual(socket.said.at(-1), { type: "ack", cursor: 10 + 64 * 1024 });
});

test("a size is told now, and again on the next connection where the shell has another", async () => {
  const { shell, clock, stream, seen } = world();
  stream.resize(100, 30);
  await settle();
  shell.sockets[0].begin();
  assert.deepEqual(shell.sockets[0].said, [{ type: "resize", cols: 100, rows: 30 }]);
  shell.sockets[0].frame({ type: "resize", cols: 100, rows: 30 });
  assert.deepEqual(seen.sizes, []); // its own
  shell.sockets[0].frame({ type: "resize", cols: 50, rows: 20 });
  assert.equal(seen.sizes.length, 1);
  shell.sockets[0].cut();
  await clock.advance(1000);
  shell.size = { cols: 100, rows: 30 };
  shell.sockets[1].begin();
  assert.deepEqual(shell.sockets[1].said, []);
});

test("what nobody confirms, and who says nothing, is tried over another connection", async () => {
  const { shell, clock, stream } = world();
  await settle();
  shell.sockets[0].begin();
  stream.type(Uint8Array.of(1));
  await clock.advance(11_000);
  assert.equal(shell.sockets.length, 2);
  shell.sockets[1].begin();
  await clock.advance(40_000);
  assert.equal(shell.sockets.length, 2);
  await clock.advance(10_000);
  assert.equal(shell.sockets.length, 3);
});

test("a gateway that goes away says when to come back", async () => {
  const { shell, clock } = world();
  await settle();
  shell.sockets[0].begin();
  shell.sockets[0].frame({ type: "reconnect", delayMs: 5000 });
  shell.sockets[0].cut(1001);
  await clock.advance(4900);
  assert.equal(shell.sockets.length, 1);
  await clock.advance(200);
  assert.equal(shell.sockets.length, 2);
});

test("ends: the shell's, its sandbox's, another connection's, an error's", async () => {
  for (const [code, state] of [[4404, "gone"], [4409, "elsewhere"], [4403, "failed"], [1009, "failed"]]) {
    const { shell, clock, seen } = world();
    await settle();
    shell.sockets[0].begin();
    shell.sockets[0].cut(code);
    await clock.advance(60_000);
    assert.equal(seen.states.at(-1)[0], state);
    assert.equal(shell.sockets.length, 1);
  }
  const { shell, clock, seen, stream } = world();
  await settle();
  shell.sockets[0].begin();
  shell.sockets[0].frame({ type: "exit", exitCode: 3 });
  await clock.advance(60_000);
  assert.deepEqual(seen.states.at(-1), ["exited", { exitCode: 3 }]);
  assert.equal(shell.sockets[0].closed, 1000);
  assert.equal(stream.type(Uint8Array.of(1)), false);
  assert.equal(clock.pending, 0);
});

test("taken over elsewhere it is taken back when that is asked", async () => {
  const { shell, clock, seen, stream } = world();
  await settle();
  shell.sockets[0].begin();
  shell.sockets[0].cut(4409);
  stream.retry();
  await settle();
  await clock.advance(0);
  shell.sockets[1].begin();
  assert.equal(seen.states.at(-1)[0], "open");
});

test("a cursor that is ahead begins anew, and a session that is gone is told", async () => {
  const { shell, clock, seen } = world();
  await settle();
  shell.sockets[0].begin();
  shell.sockets[0].say(50);
  shell.sockets[0].cut(4416);
  await clock.advance(2000);
  assert.equal(shell.sockets[1].params.get("cursor"), "0");
  shell.sockets[1].begin();
  assert.equal(seen.begins.at(-1).anew, true);
  const gone = world({ ticket: () => Response.json({ error: "Gone.", code: "session-gone" }, { status: 410 }) });
  await settle();
  assert.equal(gone.seen.states.at(-1)[1].error.message, "Gone.");
});

test("so much may wait to be typed and no more", () => {
  const { stream } = world();
  assert.equal(stream.type(new Uint8Array(MOST_TYPED)), true);
  assert.equal(stream.type(new Uint8Array(1)), false);
});
