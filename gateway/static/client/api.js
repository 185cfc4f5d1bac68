/** The gateway's HTTP routes as functions; every failure is an `ApiError` with a code from docs/protocol.md. */

import { parseJson, toJson } from "./json.js";

const TIMEOUT_MS = 15_000;
/** Of what deletes a session's files: there may be a million. */
const DELETE_MS = 90_000;
/** Of what waits for a sandbox to start. */
const WAKE_MS = 90_000;
/** Pauses before a request that got no answer is sent again: a browser drops them all when its network changes. */
const RETRY_MS = [150, 600];

/** Refusals that say to a person what there is too much of, and when there may be more. */
const LIMITS = new Set(["queue-full", "rate-limited", "quota-reached", "sign-ins-limited", "disk-low", "disk-quota"]);

/** The gateway refused the token, or looks at none of this address for a while. */
export const isSignIn = (code) => code === "unauthorized" || code === "sign-ins-limited";

/** As often as this a token that the client's owner changed by itself is tried before `renew` is asked. */
const TOKENS = 3;

/** A request that failed. `status` is 0 and `code` is `network` or `timeout` when no answer came. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "network", field, etag = null } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.field = field;
    /** Of a file that is another version: the one that is there, null when there is none. */
    this.etag = etag;
  }

  /** Whether the same request may succeed later: no answer, overload, or a gateway that is going away. */
  get transient() {
    // A limit of something in between passes; one of our own is for its reader to know.
    if (this.status === 429 || this.status === 507) return !LIMITS.has(this.code);
    return this.status === 0 || this.status === 408 || this.status === 425 || this.status >= 500;
  }
}

/** The error that a response of status 400 or more stands for. @param {Response} response @returns {Promise<ApiError>} */
export async function errorOf(response) {
  const text = await response.text().catch(() => "");
  let body = {};
  try {
    body = JSON.parse(text) ?? {};
  } catch {
    // Not ours: a proxy's page. Its status says enough.
  }
  const message = typeof body.error === "string" ? body.error : `The gateway answered ${response.status}.`;
  const { code = "http", field, etag } = body;
  return new ApiError(message, { status: response.status, code, field, etag });
}

/** What `promise` gives; rejects as a request that was given up when `signal` aborts first. */
function unless(signal, promise) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(new ApiError("The request was given up.", { code: "network" }));
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** @param {import("./env.js").Env} env */
export function createApi(env) {
  /** How far the gateway's clock is ahead of this one's, in ms, by its last answer. */
  let ahead = 0;

  /** While another token is waited for: no request goes out with the old one. */
  let renewing = null;

  /**
   * Does something that needs a token, and does it again where the token was refused and another one came.
   *
   * @template T
   * @param {() => Promise<T>} action
   * @param {{signal?: AbortSignal, onRefused?: () => void}} how  `onRefused`: another token is waited for now
   * @returns {Promise<T>}
   */
  async function signedIn(action, { signal, onRefused }) {
    for (let tries = 1; ; tries += 1) {
      if (renewing) {
        onRefused?.();
        await unless(signal, renewing);
      }
      const token = env.token();
      try {
        return await action();
      } catch (error) {
        if (!isSignIn(error.code) || !(await renewed(error, token, { tries, signal, onRefused }))) throw error;
      }
    }
  }

  /**
   * Waits for another token than the one that was refused.
   *
   * @param {ApiError} error  the refusal
   * @param {string} token  that was refused
   * @param {{tries?: number, signal?: AbortSignal, onRefused?: () => void}} how
   * @returns {Promise<boolean>} whether there is one
   */
  async function renewed(error, token, { tries = 1, signal, onRefused } = {}) {
    if (token !== env.token() && tries < TOKENS) return true;
    onRefused?.();
    renewing ??= env.renew(error).finally(() => {
      renewing = null;
    });
    return unless(signal, renewing);
  }

  /** Every request of this API may be sent twice; a session made twice is an empty one more in the list. */
  const request = (method, path, options = {}) => signedIn(() => insist(method, path, options), options);

  async function insist(method, path, options) {
    for (const pause of RETRY_MS) {
      try {
        return await attempt(method, path, options);
      } catch (error) {
        if (error.code !== "network" || options.signal?.aborted) throw error;
      }
      await new Promise((resolve) => env.setTimeout(resolve, Math.round(pause * (0.5 + env.random() / 2))));
    }
    return attempt(method, path, options);
  }

  async function attempt(method, path, { body, query, signal, timeout = TIMEOUT_MS }) {
    const url = new URL(path, env.origin);
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined && value !== null) url.searchParams.set(name, value);
    }
    const headers = { Accept: "application/json" };
    if (env.token()) headers.Authorization = `Bearer ${env.token()}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const limit = new AbortController();
    const abort = () => limit.abort();
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    const timer = env.setTimeout(abort, timeout);
    try {
      const response = await env.fetch(url.href, {
        method,
        headers,
        body: body === undefined ? undefined : toJson(body),
        signal: limit.signal,
        cache: "no-store",
      });
      const date = Date.parse(response.headers.get("Date") ?? "");
      if (Number.isFinite(date)) ahead = date - env.now();
      if (!response.ok) throw await errorOf(response);
      return response.status === 204 ? null : parseJson(await response.text());
    } catch (error) {
      if (error instanceof ApiError) throw error;
      if (limit.signal.aborted && !signal?.aborted) {
        throw new ApiError("The gateway did not answer in time.", { code: "timeout" });
      }
      throw new ApiError("The gateway cannot be reached.", { code: "network" });
    } finally {
      env.clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * A request of bytes, sent once, whose answer is a `Response` that has begun well.
   *
   * @param {string} path  with its query as it is to be sent
   * @param {{headers?: object, body?: BodyInit, signal?: AbortSignal}} how
   */
  const exchange = (method, path, { headers = {}, body, signal } = {}) =>
    signedIn(
      async () => {
        const sent = { ...headers, Authorization: `Bearer ${env.token()}` };
        const asked = { method, headers: sent, body, signal, cache: "no-store" };
        const response = await env.fetch(new URL(path, env.origin).href, asked).catch((error) => {
          throw new ApiError(signal?.aborted ? "The request was given up." : "The gateway cannot be reached.", { code: "network", cause: error });
        });
        if (!response.ok) throw await errorOf(response);
        return response;
      },
      { signal },
    );

  const session = (id) => `api/sessions/${encodeURIComponent(id)}`;
  return {
    renewed,
    exchange,
    /** A time of the gateway's as one of this clock's, in ms; not in the future. @param {string} iso */
    here: (iso) => Math.min(Date.parse(iso) - ahead, env.now()),
    /** The gateway's time, in ms, as far as its answers have told. */
    now: () => env.now() + ahead,
    version: () => request("GET", "api/version"),
    listSessions: ({ limit, cursor } = {}) => request("GET", "api/sessions", { query: { limit, cursor } }),
    createSession: (title) => request("POST", "api/sessions", { body: title ? { title } : {} }),
    getSession: (id, { signal } = {}) => request("GET", session(id), { signal }),
    renameSession: (id, title) => request("PATCH", session(id), { body: { title } }),
    /** Lets the session's sandbox reach one more host. */
    allowHost: (id, host) => request("POST", `${session(id)}/egress`, { body: { host } }),
    /** No more. */
    disallowHost: (id, host) => request("DELETE", `${session(id)}/egress/${encodeURIComponent(host)}`),
    deleteSession: (id) => request("DELETE", session(id), { timeout: DELETE_MS }),
    /** Ends the session's sandbox and deletes its files. */
    emptyFiles: (id) => request("DELETE", `${session(id)}/files`, { timeout: DELETE_MS }),
    listTerminals: (id, { signal } = {}) => request("GET", `${session(id)}/terminals`, { signal }),
    /** A shell in the session's sandbox, which is woken. @param {{id: string, cols?: number, rows?: number}} asked  asked twice with an id it is one */
    openTerminal: (id, asked, { signal } = {}) => request("POST", `${session(id)}/terminals`, { body: asked, signal, timeout: WAKE_MS }),
    closeTerminal: (id, terminal) => request("DELETE", `${session(id)}/terminals/${encodeURIComponent(terminal)}`),
    messages: (id, { limit, cursor, order, signal } = {}) =>
      request("GET", `${session(id)}/messages`, { query: { limit, cursor, order }, signal }),
    settings: () => request("GET", "api/settings"),
    saveSettings: (settings) => request("PUT", "api/settings", { body: settings }),
    ticket: (sessionId, how = {}) => request("POST", "api/sdk/ticket", { body: { sessionId }, ...how }),
    stop: (sessionId, run) => request("POST", "api/sdk/stop", { body: run ? { sessionId, run } : { sessionId } }),
    pause: (sessionId, run) => request("POST", "api/sdk/pause", { body: run ? { sessionId, run } : { sessionId } }),
    resume: (sessionId, run) => request("POST", "api/sdk/resume", { body: run ? { sessionId, run } : { sessionId } }),
    persist: (sessionId, content, sdkSessionId) =>
      request("POST", "api/sdk/persist", { body: { sessionId, content, sdkSessionId } }),
  };
}
