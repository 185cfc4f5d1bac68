/** What is written and not sent yet, by session; "" for the page where none is open. It outlives tab and browser. */

import { own } from "./storage.js";

const MAX_CHARS = 100_000;

/** @param {string} session  its id @returns {string} */
export const draftOf = (session) => own.get(`${session}.draft`) ?? "";

/** The mode that was chosen for the next prompt; empty when none was. @param {string} session @returns {string} */
export const modeOf = (session) => own.get(`${session}.mode`) ?? "";

/** @param {string} session @param {string} mode  empty: none is chosen any more */
export function keepMode(session, mode) {
  if (mode) own.set(`${session}.mode`, mode);
  else own.remove(`${session}.mode`);
}

/** @param {string} session @param {string} text */
export function keepDraft(session, text) {
  if (text) own.set(`${session}.draft`, text.slice(0, MAX_CHARS));
  else own.remove(`${session}.draft`);
}
