/** What the client needs from the world around it, with the browser's own as default and all of it replaceable in tests. */

/**
 * @typedef {object} Env
 * @property {string} origin  where the gateway is, such as `https://forge.example`
 * @property {() => string} token  the JWT to log in with; asked anew for each request
 * @property {typeof globalThis.fetch} fetch
 * @property {typeof globalThis.WebSocket} WebSocket
 * @property {(callback: () => void, ms: number) => unknown} setTimeout
 * @property {(handle: unknown) => void} clearTimeout
 * @property {() => number} now  milliseconds; goes on while the computer sleeps
 * @property {() => number} random  0 ≤ x < 1
 * @property {(wake: (why: "online" | "visible") => void) => () => void} onWake  tells when the network or the tab is
 *   back; returns what unsubscribes
 */

/** @param {Partial<Env> & {token?: string | (() => string)}} given @returns {Env} */
export function completeEnv(given = {}) {
  const { token = "", ...rest } = given;
  return {
    origin: globalThis.location?.origin ?? "",
    fetch: (...args) => globalThis.fetch(...args),
    WebSocket: globalThis.WebSocket,
    setTimeout: (callback, ms) => globalThis.setTimeout(callback, ms),
    clearTimeout: (handle) => globalThis.clearTimeout(handle),
    now: () => Date.now(), // performance.now() stands still in sleep, and a link that slept is not to be trusted.
    random: Math.random,
    onWake: browserWake,
    ...rest,
    token: typeof token === "function" ? token : () => token,
  };
}

function browserWake(wake) {
  if (typeof document === "undefined") return () => {};
  const online = () => wake("online");
  const visible = () => document.visibilityState === "visible" && wake("visible");
  addEventListener("online", online);
  document.addEventListener("visibilitychange", visible);
  return () => {
    removeEventListener("online", online);
    document.removeEventListener("visibilitychange", visible);
  };
}

/** An id of 128 random bits. (`crypto.randomUUID` exists on https pages only.) @returns {string} */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
