/** The page around an open session without a DOM: turns, their list, and streams of events that the test feeds. */

/** A turn that keeps what it was told, by the rules of transcript/turn.js. */
class FakeTurn {
  live = false;
  finished = false;
  prompt = "";
  text = "";
  notes = [];
  fills = 0;
  resets = 0;

  get unanswered() {
    return Boolean(this.run && this.prompt) && !this.live && !this.finished;
  }

  setUser(text, mode) {
    this.prompt = text;
    this.mode = mode;
  }

  begin() {
    this.live = true;
  }

  reset() {
    this.resets += 1;
    this.text = "";
    this.finished = false;
  }

  apply(event) {
    if (event.type === "text") this.text += event.content.replaceAll("\r", "");
    if (event.type === "ws-exit") this.end(event.reason);
  }

  end(reason) {
    if (reason) this.notes.push(reason);
    this.live = false;
    this.finished = true;
  }

  breakOff(why) {
    this.notes.push(why);
    this.end();
  }

  fill({ content }) {
    this.fills += 1;
    this.text = content;
    this.end();
  }

  counted(meta) {
    this.meta = meta;
  }
}

export class FakeTranscript {
  place = null;
  wentTo = [];
  turns = [];
  shown = [];

  get empty() {
    return this.turns.length === 0;
  }

  find({ run, messageId, answerId }) {
    const same = (key, value) => (turn) => value && turn[key] === value;
    return this.turns.find((turn) => same("run", run)(turn) || same("messageId", messageId)(turn) || same("answerId", answerId)(turn));
  }

  add({ run = null, messageId = null, answerId = null, first = false }) {
    const turn = Object.assign(new FakeTurn(), { run, messageId, answerId });
    if (first) this.turns.unshift(turn);
    else this.turns.push(turn);
    return turn;
  }

  goTo(place) {
    this.wentTo.push(place);
  }

  show(turn, { first = false } = {}) {
    if (this.shown.includes(turn)) return;
    if (first) this.shown.unshift(turn);
    else this.shown.push(turn);
  }

  hide(turn) {
    this.shown = this.shown.filter((one) => one !== turn);
  }

  remove(turn) {
    this.hide(turn);
    this.turns = this.turns.filter((one) => one !== turn);
  }

  clear() {
    this.turns = [];
    this.shown = [];
  }

  follow() {}

  keepingPlace(change) {
    change();
  }
}

/** What `streamWs` gives, by request: `stream.push(event)`, `stream.end()`. Those begun aborted are not listed. */
export class FakeStreams {
  streams = [];

  streamWs(request) {
    const stream = { request, queue: [], wake: () => {}, over: false };
    stream.push = (...events) => {
      stream.queue.push(...events);
      stream.wake();
    };
    stream.end = () => {
      stream.over = true;
      stream.wake();
    };
    if (!request.signal.aborted) this.streams.push(stream);
    return (async function* events() {
      request.signal.addEventListener("abort", () => stream.wake());
      for (;;) {
        while (stream.queue.length && !request.signal.aborted) yield stream.queue.shift();
        if (request.signal.aborted || stream.over) return;
        await new Promise((resolve) => {
          stream.wake = resolve;
        });
      }
    })();
  }
}
