/**
 * What must happen before the page's modules: the chosen theme, before the first paint; and help when one of the files
 * does not arrive. (Browsers drop requests when a network interface comes or goes, such as a container's; a module
 * graph with a hole in it never runs, and nothing else would try again.) The gateway serves this within index.html.
 */
(() => {
  const RELOADS = "vaporforge.reloads";
  const LIMIT = 6;
  /** Milliseconds without any file after which no more is expected of this load. */
  const STANDSTILL = 20_000;
  /** What a storage answers, or null: where a site may keep nothing, asking throws. */
  const attempt = (action) => {
    try {
      return action();
    } catch {
      return null;
    }
  };
  const root = document.documentElement;
  const chosen = attempt(() => localStorage.getItem("vaporforge.theme"));
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  const dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.classList.toggle("dark", dark);

  let failed = false;
  /** Whether the page has to do without a style sheet. */
  let bare = false;
  let reloading = 0;
  /** Says that something is missing, as soon as the place for it has been parsed. */
  const tell = () => {
    const broken = document.getElementById("broken");
    if (broken) broken.hidden = false;
    else document.addEventListener("readystatechange", tell, { once: true });
  };
  const fail = () => {
    if (failed) return;
    failed = true;
    const reloads = Number(attempt(() => sessionStorage.getItem(RELOADS)) ?? 0);
    const counted = attempt(() => sessionStorage.setItem(RELOADS, reloads + 1) === undefined);
    // Without a count that outlives the page it would be loaded again for ever.
    if (counted && reloads < LIMIT) reloading = setTimeout(() => location.reload(), 200 * 2 ** reloads);
    else tell();
  };
  const onError = ({ target }) => {
    if (!(target instanceof HTMLScriptElement || target instanceof HTMLLinkElement)) return;
    bare ||= target.rel === "stylesheet";
    fail();
  };
  addEventListener("error", onError, true);
  /** A document that was cut off tells no error, and has no end. */
  document.addEventListener("DOMContentLoaded", () => document.getElementById("broken") ?? fail());
  let files = -1;
  const watch = setInterval(() => {
    const before = files;
    files = performance.getEntriesByType("resource").length;
    if (files === before) fail();
  }, STANDSTILL);
  /** The page runs: a module that was asked for early in vain came when it was needed, and nothing counts any more. */
  addEventListener("vaporforge-started", () => {
    removeEventListener("error", onError, true);
    clearInterval(watch);
    const broken = document.getElementById("broken");
    if (bare || !broken) return;
    clearTimeout(reloading);
    broken.hidden = true;
    attempt(() => sessionStorage.removeItem(RELOADS));
  });
})();
