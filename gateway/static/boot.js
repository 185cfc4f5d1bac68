/**
 * What must happen before the page's modules: the chosen theme, before the first paint; and help when one of the files
 * does not arrive. (Browsers drop requests when a network interface comes or goes, such as a container's; a module
 * graph with a hole in it never runs, and nothing else would try again.)
 */
(() => {
  const RELOADS = "vaporforge.reloads";
  const LIMIT = 6;
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
  const onError = (event) => {
    if (failed || !(event.target instanceof HTMLScriptElement || event.target instanceof HTMLLinkElement)) return;
    failed = true;
    const reloads = Number(attempt(() => sessionStorage.getItem(RELOADS)) ?? 0);
    const counted = attempt(() => sessionStorage.setItem(RELOADS, reloads + 1) === undefined);
    // Without a count that outlives the page it would be loaded again for ever.
    if (counted && reloads < LIMIT) setTimeout(() => location.reload(), 200 * 2 ** reloads);
    else document.getElementById("broken").hidden = false;
  };
  addEventListener("error", onError, true);
  /** The page runs: nothing of the past counts any more. */
  addEventListener("vaporforge-started", () => {
    removeEventListener("error", onError, true);
    attempt(() => sessionStorage.removeItem(RELOADS));
  });
})();
