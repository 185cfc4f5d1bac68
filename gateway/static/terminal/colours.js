/** The colours of a terminal, light and dark, from the page's own. */

const LIGHT = {
  black: "#1d1a16", red: "#b3261e", green: "#2c7a4b", yellow: "#8a5a00", blue: "#1d5fb4", magenta: "#8e3a9d", cyan: "#0f7480", white: "#6a635a",
  brightBlack: "#6a635a", brightRed: "#c8372e", brightGreen: "#35895a", brightYellow: "#9c6a0a", brightBlue: "#2c70c6", brightMagenta: "#a14bb0", brightCyan: "#1b8592", brightWhite: "#1d1a16",
};
const DARK = {
  black: "#3a342e", red: "#f2867c", green: "#6cc592", yellow: "#e5b567", blue: "#7fb2f0", magenta: "#d69be0", cyan: "#72c7d1", white: "#d8d1c7",
  brightBlack: "#a39a8e", brightRed: "#ffa69d", brightGreen: "#8edcae", brightYellow: "#f3cd8c", brightBlue: "#a3caf8", brightMagenta: "#e6b8ee", brightCyan: "#97dde5", brightWhite: "#ffffff",
};

/** What the page looks like now. @returns {import("../vendor/xterm.js").ITheme} */
export function coloursNow() {
  const root = document.documentElement;
  const dark = root.classList.contains("dark");
  const style = getComputedStyle(root);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    ...(dark ? DARK : LIGHT),
    background: of("--surface"),
    foreground: of("--text"),
    cursor: of("--accent"),
    cursorAccent: of("--surface"),
    selectionBackground: dark ? "#5a4a3c" : "#f0d8c6",
  };
}

/** Tells when the page has another theme. @param {() => void} changed @returns {() => void} what unsubscribes */
export function onColours(changed) {
  const watch = new MutationObserver(changed);
  watch.observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  return () => watch.disconnect();
}
