/** A run that this page follows, from the prompt on: what is known of its progress and of the connection to it. */

export class FollowedRun {
  abort = new AbortController();
  /** Place in the queue, 0 when it is not known. */
  position = 0;
  /** The last event that says what the run does: a status, text, or a tool. */
  activity = null;
  connection = { state: "connecting", transport: "ws" };
  /** Whether the connection is lost, from its end to the next one that opens. */
  cut = false;
  /** Whether a connection was open once. */
  opened = false;
  since = Date.now();
  stopping = false;
  /** Whether the gateway was asked to stop it. */
  stopAsked = false;
  /** Whether the prompt may have reached the gateway. */
  sent = false;
  /** Whether the gateway has the prompt, or never will. */
  settled = false;
  #settle = () => {};
  /** Settles once the gateway has the prompt, or never will. */
  admission = new Promise((resolve) => {
    this.#settle = resolve;
  });

  /** @param {import("../transcript/turn.js").Turn} turn @param {boolean} waiting  queued behind another run */
  constructor(turn, waiting) {
    this.turn = turn;
    this.waiting = waiting;
  }

  /** Whether the prompt is still only here, as there is no connection. */
  get unsent() {
    return this.cut && !this.settled;
  }

  /** The run is on, or is about to be. @param {number} [since]  epoch ms, when that was before now */
  begin(since = Date.now()) {
    this.waiting = false;
    this.since = since;
    this.turn.begin();
  }

  /** The gateway has the prompt, or never will. Twice is fine. */
  settle() {
    this.settled = true;
    this.#settle();
  }

  /** @param {object} event  of `streamWs` */
  take(event) {
    if (event.type === "connection") {
      this.connection = event;
      this.opened ||= event.state === "open";
      if (event.state !== "connecting") this.cut = event.state === "waiting";
    } else if (event.type === "status") {
      this.activity = event;
      this.position = event.position ?? 0;
    } else {
      if (event.type === "text" || event.type.startsWith("tool-")) this.activity = event;
      this.turn.apply(event);
      if (event.fatal) this.turn.end();
    }
  }
}
