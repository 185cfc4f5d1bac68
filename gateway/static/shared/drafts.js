/** What is written and not sent yet, by session; "" for the page where none is open. It outlives tab and browser. */

import { own } from "./storage.js";

const MAX_CHARS = 100_000;

/** @param {string} session  its id @returns {string} */
export const draftOf = (session) => own.get(`${session}.draft`) ?? "";

/** The mode that was chosen for the next prompt; empty when none was. @param {string} session @returns {string} */
export const chosenMode = (session) => own.get(`${session}.mode`) ?? "";

/** The mode of the last prompt that this browser knows of; empty when it knows none. @param {string} session @returns {string} */
export const lastMode = (session) => own.get(`${session}.last-mode`) ?? "";

/** @param {string} session @param {string} mode  empty: none is chosen any more */
export function choose(session, mode) {
  if (mode) own.set(`${session}.mode`, mode);
  else own.remove(`${session}.mode`);
}

/** @param {string} session @param {string} mode  of its last prompt */
export function keepLastMode(session, mode) {
  if (session) own.set(`${session}.last-mode`, mode);
}

/** @param {string} session @param {string} text */
export function keepDraft(session, text) {
  if (text) own.set(`${session}.draft`, text.slice(0, MAX_CHARS));
  else own.remove(`${session}.draft`);
}
