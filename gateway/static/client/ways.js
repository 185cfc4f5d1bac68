/** The ways to read a run: a WebSocket, a stream of events, or what is recorded of it, request by request. */

import { ApiError, errorOf } from "./api.js";
import { openEventStream, openWebSocket } from "./transports.js";

/**
 * @param {"ws" | "sse" | "poll"} way
 * @param {import("./env.js").Env} env
 * @param {{sessionId: string, ticket: string, start: object | null, cursor: import("./frames.js").Cursor,
 *   moves: () => boolean}} where  `moves`: whether to end, for a better way is free
 * @param {import("./transports.js").Listener} listener
 * @returns {import("./transports.js").Connection}
 */
export function dial(way, env, { sessionId, ticket, start, cursor, moves }, listener) {
  const { run, seq } = cursor;
  if (way === "poll") return openPolling(env, { sessionId, run, after: () => cursor.seq, moves }, listener);
  if (way === "ws") return openWebSocket(env, { sessionId, ticket, run, after: seq }, listener);
  const body = { sessionId, ...(run === null ? start : { run }) };
  return openEventStream(env, { body, lastEventId: run === null ? undefined : `${run}:${seq}` }, listener);
}

/** From one look at what is recorded to the next; a recorder writes four times a second. */
export const POLL_MS = 1000;
/** A tab that had a stream is ahead of the store for a moment; for so many looks that is no error. */
const AHEAD_LOOKS = 10;

/**
 * A run that is known as what is recorded of it, request by request: no connection is held.
 *
 * @param {import("./env.js").Env} env
 * @param {{sessionId: string, run: string, after: () => number, moves: () => boolean}} where  `moves`: whether to end
 * @param {import("./transports.js").Listener} listener
 * @returns {import("./transports.js").Connection}
 */
function openPolling(env, { sessionId, run, after, moves }, listener) {
  const abort = new AbortController();
  const { signal } = abort;
  let ahead = 0;

  async function look() {
    const url = new URL(`api/sdk/replay/${encodeURIComponent(sessionId)}`, env.origin);
    url.search = new URLSearchParams({ run, after: after() });
    const headers = { Authorization: `Bearer ${env.token()}` };
    const response = await env.fetch(url.href, { headers, signal, cache: "no-store" });
    ahead = response.status === 416 ? ahead + 1 : 0;
    if (!response.ok && (ahead === 0 || ahead > AHEAD_LOOKS)) throw await errorOf(response);
    return response.ok ? response.text() : "";
  }

  async function read() {
    for (let first = true; !signal.aborted; first = false) {
      const text = await look();
      if (signal.aborted) return;
      if (first) listener.onOpen();
      listener.onLife();
      if (text) listener.onMessage(text);
      if (signal.aborted) return;
      if (moves()) return;
      await new Promise((resolve) => env.setTimeout(resolve, POLL_MS));
    }
  }

  read().then(
    () => signal.aborted || listener.onEnd({ moved: true }),
    (error) => signal.aborted || listener.onEnd({ error: error instanceof ApiError ? error : undefined }),
  );
  return { send() {}, close: () => abort.abort() };
}
