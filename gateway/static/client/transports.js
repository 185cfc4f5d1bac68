/** One connection to a run, over a WebSocket or as server-sent events: calls back until it ends, and ends once. */

import { ApiError, errorOf } from "./api.js";

/**
 * @typedef {object} Listener
 * @property {() => void} onOpen
 * @property {(frames: string | ArrayBuffer) => void} onMessage  one message: a frame, or several, one a line
 * @property {() => void} onLife  something came that is no message
 * @property {(end: {code?: number, error?: ApiError, moved?: boolean}) => void} onEnd  once; never after `close()`.
 *   `moved`: another way has become free
 *
 * @typedef {object} Connection
 * @property {(text: string) => void} send
 * @property {() => void} close  twice is fine; nothing is called back afterwards
 */

/**
 * @param {import("./env.js").Env} env
 * @param {{sessionId: string, ticket: string, run: string | null, after: number}} where
 * @param {Listener} listener
 * @returns {Connection}
 */
export function openWebSocket(env, { sessionId, ticket, run, after }, listener) {
  const url = new URL("api/sdk/ws", env.origin);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ sessionId, ticket, batch: "1" });
  if (run !== null) {
    url.searchParams.set("run", run);
    url.searchParams.set("after", after);
  }
  let socket;
  try {
    socket = new env.WebSocket(url.href);
  } catch {
    queueMicrotask(() => listener.onEnd({})); // Forbidden by the browser: as good as blocked.
    return { send() {}, close() {} };
  }
  socket.binaryType = "arraybuffer";
  socket.onopen = () => listener.onOpen();
  socket.onerror = () => {}; // A close follows, and says as much as a page may know.
  socket.onmessage = ({ data }) => listener.onMessage(data);
  socket.onclose = ({ code }) => {
    detach();
    listener.onEnd({ code });
  };
  const detach = () => {
    socket.onopen = socket.onmessage = socket.onclose = null;
  };
  return {
    send: (text) => socket.send(text),
    close() {
      detach();
      socket.close();
    },
  };
}

/**
 * Cuts a `text/event-stream` into its events, whatever the pieces it arrives in: CR, LF and CRLF end a line, several
 * `data:` lines are one message, comments are no event. (HTML Living Standard, section 9.2.6)
 */
export class EventStreamParser {
  #decoder = new TextDecoder();
  #rest = "";
  #skipLf = false;
  #data = [];

  /** @param {Uint8Array} chunk @returns {string[]} the `data` of each event that this chunk completes */
  push(chunk) {
    let text = this.#decoder.decode(chunk, { stream: true });
    if (this.#skipLf && text) {
      if (text[0] === "\n") text = text.slice(1);
      this.#skipLf = false;
    }
    if (text.endsWith("\r")) this.#skipLf = true;
    const lines = (this.#rest + text).split(/\r\n|\r|\n/);
    this.#rest = lines.pop();
    const events = [];
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) events.push(this.#data.join("\n"));
        this.#data = [];
      } else if (line.startsWith("data:")) {
        this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
    return events;
  }
}

/**
 * The same run as server-sent events: `POST /api/sdk/stream`, read with fetch because an EventSource can neither post
 * nor log in. Every frame carries its own `run` and `seq`, so the events' `id:` lines say nothing new.
 *
 * @param {import("./env.js").Env} env
 * @param {{body: object, lastEventId?: string}} request
 * @param {Listener} listener
 * @returns {Connection}
 */
export function openEventStream(env, { body, lastEventId }, listener) {
  const abort = new AbortController();

  async function read() {
    const headers = { Accept: "text/event-stream", "Content-Type": "application/json" };
    headers.Authorization = `Bearer ${env.token()}`;
    if (lastEventId) headers["Last-Event-ID"] = lastEventId;
    const response = await env.fetch(new URL("api/sdk/stream", env.origin).href, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
      signal: abort.signal,
      cache: "no-store",
    });
    if (!response.ok) throw await errorOf(response);
    if (abort.signal.aborted) return;
    listener.onOpen();
    const parser = new EventStreamParser();
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || abort.signal.aborted) return;
      listener.onLife();
      for (const data of parser.push(value)) {
        if (data !== "[DONE]" && !abort.signal.aborted) listener.onMessage(data);
      }
    }
  }

  read().then(
    () => abort.signal.aborted || listener.onEnd({}),
    (error) => abort.signal.aborted || listener.onEnd({ error: error instanceof ApiError ? error : undefined }),
  );
  return { send() {}, close: () => abort.abort() };
}
