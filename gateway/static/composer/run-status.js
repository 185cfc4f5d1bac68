/** What is said about the open session around the composer: connection, status, waiting prompts, stop. */

import { byId, element, icon } from "../shared/dom.js";
import { duration, ordinal, phaseText } from "../shared/format.js";

/** Shorter than this a run needs no clock. */
const CLOCK_FROM_MS = 2000;

/** @param {import("../chat/followed-run.js").FollowedRun | undefined} followed @returns {string} what the run does now */
export function activityText(followed) {
  const { activity, connection, stopping, cut, unsent } = followed;
  if (stopping) return "Stopping…";
  if (connection.reason === "unauthorized") return unsent ? "Not sent yet: sign in again." : "Sign in to read on; the run goes on…";
  if (unsent) return "Not sent yet: it goes once there is a connection.";
  if (cut) return "Connection lost; the run goes on…";
  if (activity?.type === "status") return phaseText(activity);
  if (activity?.type === "tool-start") return `Running ${activity.name}…`;
  if (activity?.type === "text") return "Writing…";
  return "Working…";
}

/** Words for the ways that are not the usual one; `poll`: another tab has this browser's one stream of events. */
const WAYS = { sse: "Live (SSE)", poll: "Live (polling)" };

/** @returns {[string, string]} state and words of the connection */
export function connectionState(followed, reachable) {
  const { state, transport, reason } = followed?.connection ?? {};
  if (reason === "unauthorized") return ["offline", "Signed out"];
  if (state === "open") return ["live", WAYS[transport] ?? "Live"];
  if (state === "waiting" || (state && !reachable)) return ["reconnecting", "Reconnecting"];
  if (state === "connecting") return followed.opened ? ["reconnecting", "Reconnecting"] : ["connecting", "Connecting"];
  return reachable ? ["idle", "Ready"] : ["offline", "Offline"];
}

/** @param {{turn: object, position: number, stopping?: boolean, unsent?: boolean}} waiting @returns {string} */
function placeText({ position, stopping, unsent }, index) {
  if (stopping) return "Cancelling…";
  return unsent ? "Not sent yet" : `Queued (${ordinal(position || index + 1)})`;
}

export class RunStatus {
  #pill = byId("connection");
  #status = byId("status");
  #elapsed = byId("elapsed");
  #stop = byId("stop");
  #queue = byId("queue");
  #chat = null;
  #shown = "";
  /** The turns of the queue's rows, in their order. */
  #rows = [];

  /** @param {{onCancel: (turn: object) => void}} hooks */
  constructor({ onCancel }) {
    this.#stop.addEventListener("click", () => this.#chat?.stop());
    this.onCancel = onCancel;
    setInterval(() => this.#tick(), 500);
  }

  /** @param {import("../chat/chat.js").Chat | null} chat @param {boolean} reachable  whether the gateway answers */
  show(chat, reachable) {
    this.#chat = chat;
    const active = chat?.active;
    const told = active ?? chat?.waiting.find(({ connection }) => connection);
    const [state, words] = connectionState(told, reachable);
    this.#pill.dataset.state = state;
    setText(this.#pill, words);
    setText(this.#status, told ? activityText(told) : "");
    this.#stop.hidden = !active;
    this.#stop.disabled = Boolean(active?.stopping);
    this.#showQueue(chat?.waiting ?? []);
    this.#tick();
  }

  #showQueue(waiting) {
    const places = waiting.map((one, index) => [one.turn.prompt, placeText(one, index), one.turn.mode]);
    const now = JSON.stringify(places);
    if (now === this.#shown) return;
    this.#shown = now;
    const place = [...this.#queue.children].findIndex((row) => row.contains(document.activeElement));
    const focused = this.#rows[place];
    this.#rows = waiting.map(({ turn }) => turn);
    this.#queue.replaceChildren(
      ...waiting.map(({ turn }, index) =>
        element(
          "li",
          { data: { testid: "queued-prompt" } },
          element("span", { className: "queue-place" }, places[index][1]),
          element("span", { className: "queue-text one-line", dir: "auto" }, turn.prompt),
          turn.mode === "plan" ? element("span", { className: "queue-mode" }, "Plan") : null,
          element(
            "button",
            {
              type: "button",
              className: "icon-button",
              title: "Cancel",
              data: { testid: "cancel-queued" },
              aria: { label: `Cancel: ${turn.prompt.slice(0, 80)}` },
              on: { click: () => this.onCancel(turn) },
            },
            icon("close"),
          ),
        ),
      ),
    );
    if (focused) this.#focus(this.#rows.includes(focused) ? this.#rows.indexOf(focused) : place);
  }

  /** Where the keyboard was: at the same prompt, or at what took its place. */
  #focus(place) {
    const buttons = [...this.#queue.querySelectorAll("button")];
    (buttons[Math.min(place, buttons.length - 1)] ?? byId("prompt")).focus();
  }

  #tick() {
    const active = this.#chat?.active;
    const ms = active ? Date.now() - active.since : 0;
    setText(this.#elapsed, ms >= CLOCK_FROM_MS ? duration(Math.floor(ms / 1000) * 1000).replace(".0", "") : "");
  }
}

/** Writes only what changed: a live region speaks at every write. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
