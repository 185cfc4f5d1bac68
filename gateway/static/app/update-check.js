/** Tells when the gateways serve another build of the page than the one that runs here, and offers to load it. */

import { byId } from "../shared/dom.js";

const PERIOD_MS = 60_000;

/** The build that the page's ETag names, whatever a proxy made of the ETag; empty when it names none. */
export const buildOf = (etag) => /[0-9a-f]{32}/.exec(etag ?? "")?.[0] ?? "";

export class UpdateCheck {
  #own = document.querySelector('meta[name="build"]').content;
  #asked = Date.now();

  constructor() {
    byId("reload").addEventListener("click", () => location.reload());
  }

  /** Asks, at most once in a while. Once told stays told: in a rolling update old and new gateways answer by turns. */
  async look() {
    if (!this.#own || Date.now() - this.#asked < PERIOD_MS) return;
    this.#asked = Date.now();
    const answer = await fetch("./", { method: "HEAD", cache: "no-store" }).catch(() => null);
    const build = answer?.ok ? buildOf(answer.headers.get("ETag")) : "";
    if (build && build !== this.#own) byId("newer").hidden = false;
  }
}
