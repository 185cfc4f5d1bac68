/** What the page's address says: `#/s/<session>`, and behind it what the panel shows: `/<tab>/<what the tab is to show>`. */

/**
 * @param {string} hash  such as `#/s/4f…/files/src/app.py:12`
 * @returns {{session: string | null, tab: string, rest: string}} `rest` as it is in the address, percent-encoded
 */
export function readAddress(hash) {
  const [, session = null, tab = "", rest = ""] = /^#\/s\/([\w-]{1,64})(?:\/(?:([a-z]{1,32})(?:\/(.*))?)?)?$/s.exec(hash) ?? [];
  return { session, tab, rest };
}

/** @param {string | null} session @param {string} [tab] @param {string} [rest]  percent-encoded @returns {string} */
export function addressOf(session, tab = "", rest = "") {
  if (!session) return "#/";
  return ["#/s", session, ...(tab ? [tab] : []), ...(tab && rest ? [rest] : [])].join("/");
}
