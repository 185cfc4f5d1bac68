/** The theme: the system's until the reader chooses one, which is kept. (boot.js shows it before the first paint.) */

import { byId } from "../shared/dom.js";
import { local } from "../shared/storage.js";

const THEME = "vaporforge.theme";
const DARK = matchMedia("(prefers-color-scheme: dark)");

export function setUpTheme() {
  const button = byId("theme");
  const root = document.documentElement;
  const show = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : DARK.matches;
    root.classList.toggle("dark", dark);
    const label = dark ? "Use the light theme" : "Use the dark theme";
    button.setAttribute("aria-label", label);
    button.title = label;
    return dark;
  };
  button.addEventListener("click", () => {
    const next = root.classList.contains("dark") ? "light" : "dark";
    root.dataset.theme = next;
    local.set(THEME, next);
    show();
  });
  DARK.addEventListener("change", show);
  show();
}
