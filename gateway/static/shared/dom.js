/** Small helpers for making elements. Text is always text: nothing here parses HTML. */

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} id @returns {HTMLElement} */
export const byId = (id) => document.getElementById(id);

/**
 * An element: properties by name, `data` and `aria` as objects, `on` as an object of listeners, then its children.
 *
 * @param {string} tag
 * @param {object} [properties]
 * @param {...(Node | string | null | undefined)} children
 */
export function element(tag, { data = {}, aria = {}, on = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(`aria-${name}`, value);
  for (const [name, listener] of Object.entries(on)) made.addEventListener(name, listener);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** One of the icons in index.html. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button that copies and says so. @param {string} label @param {() => string} read */
export function copyButton(label, read) {
  const button = element("button", { type: "button", className: "copy", title: label, aria: { label } }, icon("copy"));
  button.addEventListener("click", async () => {
    const copied = await copyText(read());
    button.replaceChildren(icon(copied ? "check" : "alert"));
    button.setAttribute("aria-label", copied ? "Copied" : "Could not copy");
    setTimeout(() => {
      button.replaceChildren(icon("copy"));
      button.setAttribute("aria-label", label);
    }, 1600);
  });
  return button;
}

/** The clipboard API exists on https pages and localhost only; elsewhere a selected text area does it. @param {string} text @returns {Promise<boolean>} whether it is copied */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { value: text, className: "hidden" });
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** Moves the focus from where something went, unless the reader has put it elsewhere meanwhile. @param {Element} from */
export function refocus(from, target, options) {
  const { activeElement } = document;
  if (!activeElement || activeElement === document.body || from.contains(activeElement)) target?.focus(options);
}

/** Sheets that were asked for. */
const sheets = new Map();

/** A style sheet that is not loaded with the page. @param {string} path  under the page @returns {Promise<void>} settles when it is there, or will not come */
export function loadStyles(path) {
  if (!sheets.has(path)) {
    const link = element("link", { rel: "stylesheet", href: path });
    const done = new Promise((resolve) => {
      link.addEventListener("load", resolve);
      link.addEventListener("error", () => {
        sheets.delete(path); // The next one who needs it asks again.
        link.remove();
        resolve();
      });
    });
    sheets.set(path, done);
    document.head.append(link);
  }
  return sheets.get(path);
}

/** Says something to screen readers when they have time. @param {string} text */
export function announce(text) {
  byId("announcer").textContent = text;
}
