/** The panel's width: dragged or moved by keys at its edge, kept in this browser. */

import { element } from "../shared/dom.js";
import { local } from "../shared/storage.js";

const KEPT = "vaporforge.panel.width";
export const LEAST = 320;
/** What the list of sessions and the chat need beside it. */
const BESIDE = 272 + 380;
const STEP = 24;

/** @param {number} width @param {number} viewport  both in CSS pixels @returns {number} the nearest that there is room for */
export const fitting = (width, viewport) => Math.round(Math.max(LEAST, Math.min(width, viewport - BESIDE)));

/** What a key makes of the width; null where it means nothing here. @param {string} key @param {number} width */
export function widthAfter(key, width) {
  const wanted = { ArrowLeft: width + STEP, ArrowRight: width - STEP, Home: LEAST, End: Infinity };
  return wanted[key] ?? null;
}

/** The edge that moves. @param {HTMLElement} app  has the width as `--panel-width` @returns {HTMLElement} */
export function widthHandle(app) {
  let width = Number(local.get(KEPT)) || innerWidth * 0.42;
  const handle = element("div", {
    className: "panel-edge",
    tabIndex: 0,
    role: "separator",
    aria: { orientation: "vertical", label: "Width of the panel", controls: "panel", valuemin: LEAST },
  });
  const show = () => {
    const shown = fitting(width, innerWidth);
    app.style.setProperty("--panel-width", `${shown}px`);
    handle.setAttribute("aria-valuenow", shown);
    handle.setAttribute("aria-valuemax", fitting(Infinity, innerWidth));
  };
  const take = (wanted) => {
    width = fitting(wanted, innerWidth);
    local.set(KEPT, String(width));
    show();
  };
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    handle.focus();
    handle.setPointerCapture(event.pointerId);
  });
  handle.addEventListener("pointermove", (event) => {
    if (handle.hasPointerCapture(event.pointerId)) take(innerWidth - event.clientX);
  });
  handle.addEventListener("dblclick", () => take(innerWidth * 0.42));
  handle.addEventListener("keydown", (event) => {
    const wanted = widthAfter(event.key, fitting(width, innerWidth));
    if (wanted === null) return;
    event.preventDefault();
    take(wanted);
  });
  addEventListener("resize", show);
  show();
  return handle;
}
