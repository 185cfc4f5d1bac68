/** What is written and not sent yet, by session; empty for the page where none is open. */

import { tab } from "./storage.js";

const DRAFT = "vaporforge.draft.";
const MAX_CHARS = 100_000;

/** @param {string} session  its id @returns {string} */
export const draftOf = (session) => tab.get(DRAFT + session) ?? "";

/** @param {string} session @param {string} text */
export function keepDraft(session, text) {
  if (text) tab.set(DRAFT + session, text.slice(0, MAX_CHARS));
  else tab.remove(DRAFT + session);
}
