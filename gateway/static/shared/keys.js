/** Keys: which of them belong to an input method, and what Enter does where one writes. */

/** Finger first, and nothing finer: Enter on glass is the only way to a new line there, and the button is near. */
const GLASS = globalThis.matchMedia?.("(pointer: coarse) and (not (any-pointer: fine))");

/**
 * Whether an input method takes the key: Enter chooses a character, Escape gives one up. Where a composition ends before
 * the key is told (Safari), only the code 229 says so.
 *
 * @param {KeyboardEvent} event
 */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/**
 * What a key does where a prompt is written.
 *
 * @param {KeyboardEvent} event
 * @param {boolean} glass  whether Enter alone begins a line
 * @returns {"send" | "line" | null}  `line`: one that the browser does not begin by itself
 */
export function enterMeans(event, glass) {
  if (event.key !== "Enter" || isComposing(event)) return null;
  if (event.altKey) return "line";
  if (event.shiftKey) return null;
  return glass && !event.ctrlKey && !event.metaKey ? null : "send";
}

/** Tells whether Enter alone begins a line, now and when a mouse or a keyboard comes or goes. @param {(glass: boolean) => void} told */
export function onGlass(told) {
  const tell = () => told(Boolean(GLASS?.matches));
  GLASS?.addEventListener("change", tell);
  tell();
}

/** Whether the keys are those of an Apple keyboard. */
export const isApple = () => /Mac|iPhone|iPad/.test(navigator.platform);
