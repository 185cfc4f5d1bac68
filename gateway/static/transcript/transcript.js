/** The conversation's turns in order, and a view of them that follows the newest until the reader scrolls away. */

import { byId } from "../shared/dom.js";
import { Turn } from "./turn.js";

/** Coming down as close to the end as this is coming back to it, in CSS pixels. */
const NEAR_PX = 48;
/** Keys that go up in the conversation. */
const UP = new Set(["ArrowUp", "PageUp", "Home"]);

export class Transcript {
  #list = byId("transcript");
  #scroller = byId("scroller");
  #jump = byId("jump");
  #turns = [];
  #following = true;
  /** The reader went up and has not asked to go down since: where the view comes down now, the browser moved it. */
  #left = false;
  #lastTop = 0;
  /** What the place was measured in: where it is another one now, the browser moved the view, and not the reader. */
  #lastRoom = "";

  constructor() {
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // Before the view has moved: a move that is only beginning would be undone by the next word.
    const stay = () => { this.#left = false; };
    this.#scroller.addEventListener("wheel", ({ deltaY, ctrlKey }) => {
      if (deltaY < 0 && !ctrlKey) this.#leave();
      else if (deltaY > 0) stay();
    }, { passive: true });
    this.#scroller.addEventListener("keydown", (event) => {
      if (event.target === this.#scroller && (UP.has(event.key) || (event.key === " " && event.shiftKey))) this.#leave();
      else stay();
    });
    // A finger, or the scroll bar: its direction shows in the scrolling alone.
    this.#scroller.addEventListener("pointerdown", stay);
    this.#jump.addEventListener("click", () => {
      this.follow();
      this.#scroller.focus({ preventScroll: true });
    });
    new ResizeObserver(() => this.#grown()).observe(this.#list);
    new ResizeObserver(() => this.#grown()).observe(this.#scroller);
  }

  get turns() {
    return [...this.#turns];
  }

  get empty() {
    return this.#turns.length === 0;
  }

  clear() {
    this.#turns = [];
    this.#list.replaceChildren();
    this.#following = true;
    this.#grown();
  }

  /** The turn of a run, of a prompt by its message's id, or of an answer by its message's id. */
  find({ run, messageId, answerId }) {
    return this.#turns.find(
      (turn) =>
        (run && turn.run === run) ||
        (messageId && turn.messageId === messageId) ||
        (answerId && turn.answerId === answerId),
    );
  }

  /** A turn that is not shown yet: see `show`. */
  add({ run = null, messageId = null, answerId = null, first = false }) {
    const turn = Object.assign(new Turn(), { run, messageId, answerId });
    if (first) this.#turns.unshift(turn);
    else this.#turns.push(turn);
    return turn;
  }

  /** Puts a turn where it belongs: behind all that are shown and began before it. */
  show(turn, { first = false } = {}) {
    if (turn.root.isConnected) return;
    if (first) this.#list.prepend(turn.root);
    else this.#list.append(turn.root);
  }

  hide(turn) {
    turn.root.remove();
  }

  remove(turn) {
    this.hide(turn);
    this.#turns = this.#turns.filter((one) => one !== turn);
  }

  /** The reader wants to see the end, now and as it grows. */
  follow() {
    this.#left = false;
    this.#following = true;
    this.#grown();
  }

  /**
   * Where the reader is: the turn at the top of the view, and how far it is scrolled out; null at the end, which is
   * followed.
   */
  get place() {
    if (this.#following) return null;
    const top = this.#scroller.getBoundingClientRect().top;
    const turn = this.#turns.find(({ root }) => root.isConnected && root.getBoundingClientRect().bottom > top);
    if (!turn) return null;
    const { run, messageId, answerId } = turn;
    return { run, messageId, answerId, offset: Math.round(top - turn.root.getBoundingClientRect().top) };
  }

  /** Goes back to a place, unless its turn is not shown (any more). @param {ReturnType<Transcript["place"]>} place */
  goTo(place) {
    const turn = place && this.find(place);
    if (!turn?.root.isConnected) return;
    this.#following = false;
    const top = this.#scroller.getBoundingClientRect().top;
    this.#scroller.scrollTop += turn.root.getBoundingClientRect().top - top + place.offset;
    this.#grown();
  }

  /** @param {() => void} change  what adds turns above; what the reader looks at stays where it is */
  keepingPlace(change) {
    const fromEnd = this.#scroller.scrollHeight - this.#scroller.scrollTop;
    this.#following = false;
    change();
    this.#scroller.scrollTop = this.#scroller.scrollHeight - fromEnd;
  }

  #scrolled() {
    const { scrollTop } = this.#scroller;
    const room = this.#room;
    if (scrollTop < this.#lastTop && room === this.#lastRoom) this.#following = false;
    else if (scrollTop > this.#lastTop && this.#toEnd <= NEAR_PX && !this.#left) this.#following = true;
    this.#lastTop = scrollTop;
    this.#lastRoom = room;
    this.#showJump();
  }

  /** The reader goes up, by however little. */
  #leave() {
    if (this.#scroller.scrollTop <= 0) return;
    this.#following = false;
    this.#left = true;
    this.#showJump();
  }

  #grown() {
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#lastTop = this.#scroller.scrollTop;
    this.#lastRoom = this.#room;
    this.#showJump();
  }

  get #room() {
    return `${this.#scroller.scrollHeight} ${this.#scroller.clientHeight}`;
  }

  get #toEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  #showJump() {
    this.#jump.hidden = this.#following || this.#toEnd < 1;
  }
}
