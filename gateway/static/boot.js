/**
 * What must happen before the page's modules: the chosen theme, before the first paint; and help when one of the files
 * does not arrive. (Browsers drop requests when a network interface comes or goes, such as a container's; a module
 * graph with a hole in it never runs, and nothing else would try again.)
 */
(() => {
  const RELOADS = "vaporforge.reloads";
  const LIMIT = 6;
  const chosen = localStorage.getItem("vaporforge.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;

  let failed = false;
  const onError = (event) => {
    if (failed || !(event.target instanceof HTMLScriptElement || event.target instanceof HTMLLinkElement)) return;
    failed = true;
    const reloads = Number(sessionStorage.getItem(RELOADS) ?? 0);
    sessionStorage.setItem(RELOADS, reloads + 1);
    if (reloads < LIMIT) setTimeout(() => location.reload(), 200 * 2 ** reloads);
    else document.getElementById("broken").hidden = false;
  };
  addEventListener("error", onError, true);
  /** The page runs: nothing of the past counts any more. */
  addEventListener("vaporforge-started", () => {
    removeEventListener("error", onError, true);
    sessionStorage.removeItem(RELOADS);
  });
})();
