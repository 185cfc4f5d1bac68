/** Titles of sessions: the one that they begin with, and the one that a first prompt gives. */

/** Of a session that nothing was asked in yet. */
export const DEFAULT_TITLE = "New session";

const MAX_SIGNS = 56;
/** A sign may be many characters, and the gateway takes 200 of them. */
const MAX_LENGTH = 190;
/** A cut that leaves fewer signs than this is made within a word. */
const MIN_SIGNS = 30;

/** Seen by nobody: joiners and direction marks too, where nothing that is seen is beside them. */
const SEEN = /[^\p{C}\p{Z}\p{M}\s\u2800\u3164\u115f\u1160\uffa0]/u;
const signs = globalThis.Intl?.Segmenter ? new Intl.Segmenter(undefined, { granularity: "grapheme" }) : null;

/** @param {string} text @returns {string} with the replacement character for each half of a surrogate pair */
export function wellFormed(text) {
  return text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
}

/** Its first line that says something, without Markdown, cut between words. @param {string} prompt @returns {string} */
export function titleOf(prompt) {
  const lines = wellFormed(prompt).split(/[\n\r\u2028\u2029]/);
  const said = lines.map(plain).find((line) => SEEN.test(line));
  const language = lines.map((line) => /^\s*(?:`{3,}|~{3,})\s*([\w+#.-]+)/.exec(line)?.[1]).find(Boolean);
  return cut(said ?? language ?? "Untitled");
}

/** A line of Markdown as it is read; empty where it only marks something. */
function plain(line) {
  if (/^\s*(?:`{3,}|~{3,}|(?:[-*_]\s*){3,}$|\|?[\s:|-]*-[\s:|-]*\|)/.test(line)) return "";
  return line
    .replace(/^\s*(?:(?:#{1,6}|>|[-*+]|\d{1,9}[.)])\s+)+(?:\[[ xX]\]\s+)?/, "")
    .replace(/\s+#+\s*$/, "")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/(`+)(.+?)\1/g, "$2")
    .replace(/(\*\*|__|~~)(?=\S)(.+?)(?<=\S)\1/g, "$2")
    .replace(/(?<![\w*])\*(?=[^\s*])([^*]+?)(?<=\S)\*(?![\w*])/g, "$1")
    .replace(/(?<!\w)_(?=\S)([^_]+?)(?<=\S)_(?!\w)/g, "$1")
    .replace(/[\u200b\u2060\ufeff\u00ad\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

function cut(line) {
  const all = signs ? Array.from(signs.segment(line.slice(0, 4000)), ({ segment }) => segment) : [...line];
  const kept = [];
  let length = 0;
  for (const sign of all) {
    if (kept.length === MAX_SIGNS || length + sign.length > MAX_LENGTH) break;
    kept.push(sign);
    length += sign.length;
  }
  if (kept.length === all.length) return line;
  const space = kept.lastIndexOf(" ");
  const shown = kept.slice(0, space > MIN_SIGNS ? space : kept.length).join("");
  return `${shown || [...line].slice(0, MAX_SIGNS).join("")}…`;
}
