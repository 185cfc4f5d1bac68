/** Keys that are the page's while a terminal has the focus; all others are the shell's, Escape and Tab too. */

/**
 * What a key means to the page.
 *
 * @param {KeyboardEvent} event
 * @param {boolean} apple
 * @returns {"leave" | "find" | "copy" | "paste" | null}  `leave`: out of the terminal, which takes Tab itself
 */
export function keyMeans(event, apple) {
  const key = event.key.toLowerCase();
  if (event.altKey) return null;
  if (apple && event.metaKey && !event.ctrlKey) return { f: "find", c: "copy", v: "paste" }[key] ?? null;
  if (!event.ctrlKey || !event.shiftKey || event.metaKey) return null;
  return { l: "leave", f: "find", c: "copy", v: "paste" }[key] ?? null;
}
