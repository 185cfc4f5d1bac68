/** A clock that moves by hand, a seeded random source, and a gateway that lives behind a WebSocket class and a fetch. */

/** Timers that fire only when the test moves the clock. */
export class FakeClock {
  #now = 0;
  #timers = new Map();
  #next = 1;

  now = () => this.#now;

  setTimeout = (callback, ms) => {
    const handle = this.#next++;
    this.#timers.set(handle, { at: this.#now + ms, callback });
    return handle;
  };

  clearTimeout = (handle) => void this.#timers.delete(handle);

  get pending() {
    return this.#timers.size;
  }

  /** Lets everything that is ready run, then fires what falls due in the next `ms`, in order. */
  async advance(ms) {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const due = this.#due();
      if (!due || due[1].at > end) break;
      await this.#fire(due);
    }
    this.#now = end;
    await settle();
  }

  /** Fires the next timer, however far away. @returns {Promise<boolean>} whether there was one */
  async step() {
    await settle();
    const due = this.#due();
    if (due) await this.#fire(due);
    return Boolean(due);
  }

  #due() {
    return [...this.#timers].sort(([, a], [, b]) => a.at - b.at)[0];
  }

  async #fire([handle, { at, callback }]) {
    this.#now = Math.max(this.#now, at);
    this.#timers.delete(handle);
    callback();
    await settle();
  }
}

/** Until promises, streams and queued callbacks have nothing left to do by themselves. */
export async function settle() {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** mulberry32: the same numbers for the same seed. @returns {() => number} */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** The frames of a whole run with `texts` deltas; text of many alphabets, so that bytes and characters differ. */
export function makeRun(run = "run-1", texts = 6) {
  const words = ["Grüße ", "→ 漢字 ", "🙂 ", "plain ", "a\nline ", '"quoted" '];
  const bodies = [
    { type: "run" },
    { type: "session-init", sessionId: "sdk-1" },
    ...Array.from({ length: texts }, (_, index) => ({ type: "text-delta", text: words[index % words.length] })),
    { type: "tool-start", id: "t1", name: "Write", input: { file_path: "test.txt", content: "Hello" } },
    { type: "tool-result", id: "t1", name: "Write", output: "written" },
    { type: "from-the-future", anything: 1 },
    { type: "done", sessionId: "sdk-1", fullText: "all", usage: {}, costUsd: 0 },
    { type: "process-exit", exitCode: 0, reason: "completed" },
  ];
  return bodies.map((body, index) => ({ ...body, run, seq: index + 1 }));
}

/** What a reader must have got of a run: every numbered event once, in order. */
export function expectedSeqs(frames) {
  return frames.filter((frame) => frame.type !== "from-the-future").map((frame) => frame.seq);
}

export function seqsOf(events) {
  return events.filter((event) => Number.isInteger(event.seq)).map((event) => event.seq);
}

/**
 * A gateway as the client sees it. `serve(peer)` plays the WebSocket's other end: `peer.params`, `peer.accept()`,
 * `peer.send(data)`, `peer.close(code)`, `peer.received` (messages of the client), `peer.started` (a promise of the
 * first). `http(path, request)` answers fetches that the defaults do not.
 */
export function fakeGateway({ serve = () => {}, http = () => undefined, random = seeded(1), ...more } = {}) {
  const clock = new FakeClock();
  const log = { peers: [], requests: [], wake: () => {} };

  class FakeWebSocket {
    constructor(href) {
      const url = new URL(href);
      const received = [];
      let started;
      const peer = {
        url,
        params: url.searchParams,
        received,
        closedByClient: false,
        started: new Promise((resolve) => {
          started = resolve;
        }),
        accept: () => this.onopen?.(),
        send: (data) => this.onmessage?.({ data: typeof data === "object" ? JSON.stringify(data) : data }),
        sendBytes: (text) => this.onmessage?.({ data: new TextEncoder().encode(text).buffer }),
        close: (code) => this.onclose?.({ code }),
      };
      this.peer = peer;
      this.send = (text) => {
        received.push(JSON.parse(text));
        started(received[0]);
      };
      log.peers.push(peer);
      setImmediate(() => serve(peer, log.peers.length));
    }

    close() {
      this.peer.closedByClient = true;
    }
  }

  async function fetch(href, request) {
    const url = new URL(href);
    const body = request.body ? JSON.parse(request.body) : undefined;
    const asked = { method: request.method, path: url.pathname, query: url.searchParams, body, headers: request.headers };
    log.requests.push(asked);
    const answer = await http(url.pathname, { ...asked, signal: request.signal });
    if (answer) return answer;
    if (url.pathname === "/api/sdk/ticket") {
      const ticket = `ticket-${log.requests.filter(({ path }) => path === url.pathname).length}`;
      return Response.json({ ticket, expiresIn: 60 });
    }
    if (url.pathname === "/api/version") return Response.json({ version: "0.20.0" });
    return Response.json({ error: "No such route.", code: "not-found" }, { status: 404 });
  }

  const env = {
    origin: "http://gateway.test",
    token: "jwt",
    fetch,
    WebSocket: FakeWebSocket,
    setTimeout: clock.setTimeout,
    clearTimeout: clock.clearTimeout,
    now: clock.now,
    random,
    onWake: (wake) => {
      log.wake = wake;
      return () => {
        log.wake = null;
      };
    },
    ...more,
  };
  return { env, clock, log };
}

/** Reads a stream in the background. @returns {{events: object[], over: boolean, ended: Promise<void>}} */
export function collect(stream, onEvent = () => {}) {
  const reader = { events: [], over: false };
  reader.ended = (async () => {
    for await (const event of stream) {
      reader.events.push(event);
      onEvent(event);
    }
    reader.over = true;
  })();
  return reader;
}

/** Moves the clock until the reader's stream has ended. */
export async function drain(clock, reader, limit = 2000) {
  for (let steps = 0; !reader.over; steps += 1) {
    if (steps > limit) throw new Error("the stream does not end");
    await Promise.race([reader.ended, clock.step()]);
  }
  await reader.ended;
}
