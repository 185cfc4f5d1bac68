/** How a connection's life ended, and whether trying again can help. docs/protocol.md lists close codes and codes. */

/**
 * `done` (the run's last frame came), `closed` (we were asked to stop), `fatal` (trying again cannot help), `ahead` (the
 * cursor is past the end), `lost` (try again, after `delayMs` when it is given). `blocked`: nothing ever came.
 *
 * @typedef {{kind: "done" | "closed" | "fatal" | "ahead" | "lost", delayMs?: number, reason?: string,
 *   error?: {message: string, code: string}, blocked?: boolean}} Outcome
 */

const CURSOR_AHEAD = 4416;

const FATAL_CLOSES = new Map([
  [1009, { message: "The prompt is too long for the gateway.", code: "payload-too-large" }],
  [4400, { message: "The gateway did not understand the request.", code: "bad-request" }],
  [4401, { message: "The gateway does not know who you are.", code: "unauthorized" }],
  [4403, { message: "You are not allowed to do this.", code: "forbidden" }],
  [4404, { message: "There is no such session or run.", code: "not-found" }],
  [4409, { message: "The session is busy.", code: "conflict" }],
  [4410, { message: "The session is being deleted.", code: "session-gone" }],
]);

/** The same as codes: an `error` frame may end a connection that has no close code (SSE), or lost it on the way. */
const FATAL_CODES = new Set(
  `bad-request payload-too-large unauthorized forbidden not-owner credential-missing origin-refused not-found
   session-not-found run-not-found conflict session-busy queue-full session-gone
   rate-limited quota-reached sign-ins-limited disk-low disk-quota`.split(/\s+/),
);

/**
 * @param {{spoke: boolean, code?: number, error?: import("./api.js").ApiError}} end  what the transport says, and whether
 *   a message came
 * @param {{message: string, code: string} | undefined} told  the last `error` frame about the connection
 * @returns {Outcome}
 */
export function outcomeOfEnd({ spoke, code, error }, told) {
  if (error) return { ...outcomeOfError(error), blocked: !spoke };
  if (code === CURSOR_AHEAD || told?.code === "cursor-ahead") return { kind: "ahead", error: told };
  if (FATAL_CLOSES.has(code)) return { kind: "fatal", error: told ?? FATAL_CLOSES.get(code) };
  if (FATAL_CODES.has(told?.code)) return { kind: "fatal", error: told };
  return { kind: "lost", reason: told?.code ?? "closed", blocked: !spoke };
}

/** @param {import("./api.js").ApiError} error  of an HTTP request @returns {Outcome} */
export function outcomeOfError(error) {
  if (error.status === 416) return { kind: "ahead", error };
  if (!error.transient) return { kind: "fatal", error };
  return { kind: "lost", reason: error.code };
}
