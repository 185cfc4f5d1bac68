/**
 * Style elements for xterm.js, of which the page's policy (style-src 'self') takes none: each of them stands for a style
 * sheet that the script adopts, as the policy lets it.
 */

/** Does something that makes style elements. (xterm's own `documentOverride` does not reach all of them.) @template T @param {() => T} action @returns {T} */
export function withSheets(action) {
  const make = document.createElement;
  document.createElement = (tag, ...more) => (tag === "style" ? standIn() : make.call(document, tag, ...more));
  try {
    return action();
  } finally {
    delete document.createElement;
  }
}

function standIn() {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  const stand = document.createElementNS("http://www.w3.org/1999/xhtml", "template");
  Object.defineProperty(stand, "textContent", { get: () => "", set: (css) => sheet.replaceSync(css) });
  stand.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
    Element.prototype.remove.call(stand);
  };
  return stand;
}
