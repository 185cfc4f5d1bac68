/** What the client needs from the world around it, with the browser's own as default and all of it replaceable in tests. */

/**
 * @typedef {object} Env
 * @property {string} origin  where the gateway is, such as `https://forge.example` or `https://example/forge/`
 * @property {() => string} token  the JWT to log in with; asked anew for each request
 * @property {(error: Error & {code: string}) => Promise<boolean>} renew  the gateway refused the token, now or in
 *   mid-stream: settles when there is another one to go on with (true), or there will be none (false)
 * @property {typeof globalThis.fetch} fetch
 * @property {typeof globalThis.WebSocket} WebSocket
 * @property {{get: (key: string) => string | null, set: (key: string, value: string) => void,
 *   remove: (key: string) => void}} memory  of this tab: what was found out of its network
 * @property {Env["memory"] & {onChange: (changed: () => void) => () => void}} shared  by the tabs of a browser, with a
 *   way to hear of the others' changes, which returns what unsubscribes
 * @property {() => boolean} multiplexed  whether any number of requests can be open at once
 * @property {(callback: () => void, ms: number) => unknown} setTimeout
 * @property {(handle: unknown) => void} clearTimeout
 * @property {() => number} now  milliseconds; goes on while the computer sleeps
 * @property {() => number} random  0 ≤ x < 1
 * @property {(wake: (why: "online" | "visible") => void) => () => void} onWake  tells when the network or the tab is
 *   back; returns what unsubscribes
 */

/** @param {Partial<Env> & {token?: string | (() => string)}} given @returns {Env} */
export function completeEnv(given = {}) {
  const { token = "", origin = globalThis.document ? new URL(".", document.baseURI).href : "", ...rest } = given;
  return {
    renew: async () => false,
    fetch: (...args) => globalThis.fetch(...args),
    WebSocket: globalThis.WebSocket,
    ...browserTabs(),
    memory: { get: () => null, set() {}, remove() {} },
    setTimeout: (callback, ms) => globalThis.setTimeout(callback, ms),
    clearTimeout: (handle) => globalThis.clearTimeout(handle),
    now: () => Date.now(), // performance.now() stands still in sleep, and a link that slept is not to be trusted.
    random: Math.random,
    onWake: browserWake,
    ...rest,
    origin: origin && !origin.endsWith("/") ? `${origin}/` : origin,
    token: typeof token === "function" ? token : () => token,
  };
}

/** Tabs that may keep nothing each go on as if they were the only one. */
function browserTabs() {
  const alone = { get: () => null, set() {}, remove() {}, onChange: () => () => {} };
  try {
    const storage = globalThis.document && globalThis.localStorage;
    if (!storage) return { shared: alone, multiplexed: () => true };
    const onChange = (changed) => {
      addEventListener("storage", changed);
      return () => removeEventListener("storage", changed);
    };
    return {
      shared: {
        get: (key) => storage.getItem(key),
        set: (key, value) => storage.setItem(key, value),
        remove: (key) => storage.removeItem(key),
        onChange,
      },
      multiplexed: () => /^h[23]/.test(performance.getEntriesByType("navigation")[0]?.nextHopProtocol ?? ""),
    };
  } catch {
    return { shared: alone, multiplexed: () => true };
  }
}

function browserWake(wake) {
  if (typeof document === "undefined") return () => {};
  const online = () => wake("online");
  const visible = () => document.visibilityState === "visible" && wake("visible");
  addEventListener("online", online);
  document.addEventListener("visibilitychange", visible);
  addEventListener("focus", visible);
  return () => {
    removeEventListener("online", online);
    removeEventListener("focus", visible);
    document.removeEventListener("visibilitychange", visible);
  };
}

/** An id of 128 random bits. (`crypto.randomUUID` exists on https pages only.) @returns {string} */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
