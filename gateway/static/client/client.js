/**
 * VaporForge's client: sends a prompt, streams what follows, and keeps doing so whatever breaks in between.
 *
 *     const { streamWs } = createClient({ token: () => jwt });
 *     for await (const event of streamWs({ sessionId, prompt })) …
 *
 * Protocol only, no DOM: runs in browsers and in node ≥ 20 (there with a WebSocket class handed in). docs/protocol.md
 * is the contract.
 */

import { ApiError, createApi, isSignIn } from "./api.js";
import { completeEnv, newId } from "./env.js";
import { EventFloor } from "./event-floor.js";
import { RunStream } from "./run-stream.js";
import { SocketHealth } from "./socket-health.js";

export { ApiError, isSignIn, newId };

/**
 * @param {Partial<import("./env.js").Env> & {token?: string | (() => string)}} environment  `token` is all that a
 *   browser needs
 */
export function createClient(environment = {}) {
  const env = completeEnv(environment);
  const api = createApi(env);
  const health = new SocketHealth(env);
  const floor = new EventFloor(env);

  /**
   * Starts a run and streams it, or attaches to one (`run`, `after`). Frames come exactly once and in order, through
   * as many connections as it takes. Events:
   *
   * - `text` {content}, `session-init` {sessionId}, `tool-start` {id, name, input}, `tool-result` {id, name, output,
   *   isError?}, `done` {sessionId, fullText, usage, costUsd}, `error` {content, code, fatal?}, `session-reset`,
   *   `config-restored`, `stderr` {text}, `sandbox-lost` {reason}, `jobs-ended` {jobs}, `egress-blocked` {host, reason, mayAllow}, `run`, and `ws-exit` {exitCode, reason}, the last;
   *   each with `run` and `seq`
   * - about the connection, without: `status` {phase, position?}, `replay-complete`, `timing`, `connection` {state:
   *   connecting | open | waiting, transport, delayMs?, reason?}, `reset` (forget this run's frames: they come again)
   *
   * It ends after `ws-exit`, after an `error` that is `fatal`, or when `signal` aborts (the run itself goes on then:
   * to stop it, ask `api.stop`).
   *
   * @param {object} options
   * @param {string} options.sessionId
   * @param {string} [options.prompt]  1 to 100,000 characters
   * @param {string} [options.cwd]
   * @param {"agent" | "plan"} [options.mode]
   * @param {string} [options.messageId]  makes the prompt idempotent; made up when missing
   * @param {"queue" | "reject" | "interrupt"} [options.onBusy]
   * @param {string} [options.run]  attach to this run instead of starting one
   * @param {number} [options.after]  the last `seq` that you have of it
   * @param {AbortSignal} [options.signal]
   * @param {"auto" | "ws" | "sse"} [options.transport]  auto: WebSocket, and SSE where WebSockets are blocked
   * @returns {AsyncGenerator<object, void, void>}
   */
  async function* streamWs(options) {
    const { signal } = options;
    const queue = [];
    let wake = () => {};
    let over = false;
    const stream = new RunStream({ env, api, health, floor }, options, (event) => {
      queue.push(event);
      wake();
    });
    const abort = () => {
      stream.close();
      wake();
    };
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    const following = stream.follow().finally(() => {
      over = true;
      wake();
    });
    try {
      for (;;) {
        while (queue.length && !signal?.aborted) yield queue.shift();
        if (signal?.aborted) return;
        if (over) return await following;
        await new Promise((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      stream.close();
    }
  }

  /**
   * Saves an assistant's message, best effort: the gateway records every run by itself, so this is for text that no
   * run produced.
   *
   * @returns {Promise<boolean>} whether it was saved
   */
  async function persistMessage(sessionId, content, sdkSessionId = "") {
    try {
      await api.persist(sessionId, content, sdkSessionId);
      return true;
    } catch (error) {
      if (error instanceof ApiError) return false;
      throw error;
    }
  }

  /**
   * What is loaded on demand gets what every part of the client has: `client.connect((env, api) => new TerminalStream(env,
   * api, …))`, by terminal-stream.js.
   *
   * @template T
   * @param {(env: import("./env.js").Env, api: ReturnType<typeof createApi>) => T} make
   * @returns {T}
   */
  const connect = (make) => make(env, api);

  return { streamWs, persistMessage, connect, api };
}
