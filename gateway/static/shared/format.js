/** What the page says: phases, errors with what to do about them, times. */

const PHASES = {
  "sandbox-starting": "Starting sandbox…",
  "sandbox-placing": "Finding a machine for the sandbox…",
  "sandbox-pulling": "Starting sandbox on its machine…",
  "workspace-restoring": "Bringing your files back…",
  "agent-starting": "Starting agent…",
  "sandbox-recovering": "Recovering sandbox…",
  paused: "Paused",
  resumed: "Working…",
};

/** @param {{phase: string, position?: number}} status @returns {string} */
export function phaseText({ phase, position }) {
  if (phase === "queued") return position ? `Queued (${ordinal(position)})` : "Queued";
  return PHASES[phase] ?? "Working…";
}

/** @param {number} number @returns {string} such as `2nd` */
export function ordinal(number) {
  const tens = number % 100;
  const ending = tens > 10 && tens < 14 ? "th" : ({ 1: "st", 2: "nd", 3: "rd" }[number % 10] ?? "th");
  return `${number}${ending}`;
}

const REMEDIES = {
  "credential-missing": "Open Settings and set a model credential, then send the prompt again.",
  unauthorized: "Sign in again with a new token.",
  "not-owner": "Ask its owner, or start a session of your own.",
  forbidden: "Ask whoever runs this gateway.",
  "origin-refused": "Open the page at the address that the gateway was set up for.",
  "session-not-found": "Pick another one, or start a new one.",
  "run-not-found": "Reload the page to see what is recorded.",
  "session-gone": "Start a new session.",
  "session-busy": "Wait until the run is over, or stop it.",
  "queue-full": "Wait until a prompt has been answered, or cancel one that waits.",
  "payload-too-large": "Shorten it, or put it into a file.",
  "store-unavailable": "Nothing is lost. Try again in a moment.",
  "store-damaged": "Ask whoever runs this gateway. Other sessions work.",
  "sandbox-unavailable": "Try again in a moment.",
  "sandbox-unstartable": "Ask whoever runs this gateway.",
  draining: "Try again in a moment.",
  network: "Check your connection. Runs go on without it.",
  timeout: "Try again in a moment.",
  "frames-missing": "Reload the page to see what is recorded.",
};

/** Words of a message that says itself what to do: a remedy behind it would say it twice. */
const ADVISED = /\bagain\b|; (?:wait|ask)\b|\bSettings\b|\bscripts\/|\bsays why\b/;

/** @param {string} message @param {string} [code] @returns {string} the message as a sentence, and what to do */
export function explain(message, code) {
  const begun = message.replace(/^[a-z]+(?=[ ,;])/, (word) => word[0].toUpperCase() + word.slice(1)); // A field's name stays.
  const sentence = /[.!?…]$/.test(begun) ? begun : `${begun}.`;
  const remedy = ADVISED.test(message) ? "" : REMEDIES[code];
  return remedy ? `${sentence} ${remedy}` : sentence;
}

const LOSSES = {
  oom: "it ran out of memory",
  spot: "the cloud took its machine back",
  killed: "it was killed",
  exited: "it ended unexpectedly",
  gone: "its machine is gone",
  "disk-quota": "its files are more than a session may have",
  "disk-low": "the disk is nearly full",
};

/** @param {string} reason of a `sandbox-lost` frame @returns {string} */
export function lossText(reason) {
  const why = LOSSES[reason] ? `: ${LOSSES[reason]}` : "";
  return `The sandbox was lost${why}. What was written so far is kept; the next prompt starts a new sandbox with your files.`;
}

/** @param {string[]} jobs of a `jobs-ended` frame @returns {string} */
export function jobsText(jobs) {
  const names = (Array.isArray(jobs) ? jobs : []).map((job) => `“\u2068${job}\u2069”`).join(", ");
  return `What ran in the background has ended meanwhile${names && `: ${names}`}. Ask for it again if it is needed.`;
}

const BLOCKS = {
  address: "its name leads to an address that no sandbox may reach",
  port: "only 443 is reached by TLS, and 80 by HTTP",
  name: "it was asked for under another host's name",
};

/** @param {{host: string, reason: string}} blocked  of an `egress-blocked` frame @returns {string} */
export function blockedText({ host, reason }) {
  const why = BLOCKS[reason] ?? "it is not on the list of this deployment";
  return `The sandbox could not reach \u2068${host}\u2069: ${why}.`;
}

/** @param {number} ms @returns {string} such as `0.4 s`, `12 s`, `2 min 5 s` */
export function duration(ms) {
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  return `${Math.floor(Math.round(seconds) / 60)} min ${Math.round(seconds) % 60} s`;
}

/** @param {string} iso @param {number} now epoch ms @returns {string} such as `now`, `5 min`, `Tue`, `3 Mar` */
export function age(iso, now) {
  const date = new Date(iso);
  const minutes = Math.floor((now - date.getTime()) / 60_000);
  if (!Number.isFinite(minutes)) return "";
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h`;
  const style = minutes < 6 * 24 * 60 ? { weekday: "short" } : { day: "numeric", month: "short" };
  return date.toLocaleDateString(undefined, style);
}


/** What a finished run cost, in words; empty when nothing is known. */
export function usageText(usage, costUsd) {
  const parts = [];
  const tokens = Number(usage?.output_tokens);
  if (tokens > 0) parts.push(`${tokens.toLocaleString()} ${tokens === 1 ? "token" : "tokens"}`);
  const cost = Number(costUsd);
  if (cost > 0) parts.push(cost < 0.01 ? "under 1 ¢" : `$${cost.toFixed(2)}`);
  return parts.join(" · ");
}
