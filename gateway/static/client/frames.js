/** The rules of the stream, without I/O: what a message holds, where a reader stands, what a frame means to a reader. */

import { parseJson } from "./json.js";

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** Types that reach the reader as they are; `ping` and `reconnect` are for the connection, unknown ones are ignored. */
const AS_IS = new Set([
  "run",
  "session-init",
  "session-reset",
  "config-restored",
  "tool-start",
  "tool-result",
  "done",
  "status",
  "stderr",
  "timing",
  "replay-complete",
  "sandbox-lost",
  "jobs-ended",
  "egress-blocked",
  "budget",
]);

/**
 * The frames of one message: several, one a line, when the reader asked for `batch=1`. Those before a bad one come first.
 *
 * @param {string | ArrayBuffer} data
 * @returns {Generator<object, void, void>}
 * @throws {SyntaxError | TypeError} while read: when a line is no JSON object, or bytes are no UTF-8
 */
export function* parseMessage(data) {
  const text = typeof data === "string" ? data : UTF8.decode(data);
  for (const line of text.split("\n")) {
    if (line) yield parseFrame(line);
  }
}

/** @param {string} line @returns {object} whole numbers beyond 2^53 in it are BigInts */
export function parseFrame(line) {
  const frame = parseJson(line);
  if (frame === null || typeof frame !== "object" || Array.isArray(frame)) {
    throw new SyntaxError("a frame is a JSON object");
  }
  return frame;
}

/** Where a reader stands: everything of `run` up to `seq` has been seen. Makes "exactly once, in order" true. */
export class Cursor {
  /** @param {string | null} run null until the first numbered frame names it @param {number} seq */
  constructor(run = null, seq = 0) {
    this.run = run;
    this.seq = seq;
  }

  /**
   * What to do with a frame, moving on when it is the next one: `take` it, `drop` it (seen already, or of another
   * run), or `gap`: frames before it are missing, read again from the cursor.
   *
   * @returns {"take" | "drop" | "gap"}
   */
  judge(frame) {
    if (!Number.isInteger(frame.seq)) return "take";
    this.run ??= frame.run;
    if (frame.run !== this.run || frame.seq <= this.seq) return "drop";
    if (frame.seq > this.seq + 1) return "gap";
    this.seq = frame.seq;
    return "take";
  }

  /** Back to the run's start: a server said that the cursor is past the end of what it has. */
  rewind() {
    this.seq = 0;
  }
}

/**
 * The event that a reader gets for a frame, or null when it gets none. Events keep the frame's `run` and `seq`.
 *
 * @param {object} frame
 * @returns {object | null}
 */
export function toEvent(frame) {
  const { type, run, seq } = frame;
  const place = seq === undefined ? {} : { run, seq };
  switch (type) {
    case "text-delta":
      return { type: "text", content: String(frame.text ?? ""), ...place };
    case "error":
      return { type: "error", content: String(frame.error ?? "Something failed."), code: frame.code, ...place };
    case "process-exit":
      return { type: "ws-exit", exitCode: frame.exitCode, reason: frame.reason, ...place };
    default:
      return AS_IS.has(type) ? frame : null;
  }
}
