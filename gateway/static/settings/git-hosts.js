/** Git hosts in the settings: which the user's sandboxes reach, with which token, at which repositories. */

import { byId, element } from "../shared/dom.js";

/** Stands for a token that is kept and not shown; sent back, it keeps it. */
const MASK = "\u2022".repeat(6);

/** Paths as people write them, with commas, spaces or lines between. @param {string} text @returns {string[]} */
export const repositoriesIn = (text) => text.split(/[\s,]+/).filter(Boolean);

/**
 * What is sent of a host.
 *
 * @param {{token?: string, user?: string}} kept  what was there @param {string} token  as typed @param {string} repositories  as typed
 */
export function hostOf(kept, token, repositories) {
  const sent = token.trim() || (kept.token ? MASK : "");
  const named = repositoriesIn(repositories);
  return {
    ...(sent ? { token: sent } : {}),
    ...(kept.user ? { user: kept.user } : {}),
    ...(named.length > 0 ? { repositories: named } : {}),
  };
}

export class GitHosts {
  #rows = byId("git-hosts");
  #add = byId("git-add");
  #part = byId("git");
  #known = [];
  #given = "";
  /** A host's name → what was kept of it, and its fields. */
  #hosts = new Map();

  constructor() {
    this.#add.addEventListener("change", () => {
      const name = this.#add.value;
      if (!name) return;
      this.#row(name, {});
      this.#offer();
      this.#hosts.get(name).token.focus();
    });
  }

  /** @param {{hosts: object, known: string[]} | undefined} git  as the settings have it; a gateway of before has none */
  show(git) {
    const { hosts = {}, known = [] } = git ?? {};
    this.#part.hidden = known.length === 0 && Object.keys(hosts).length === 0;
    this.#known = known;
    this.#hosts.clear();
    this.#rows.replaceChildren();
    for (const [name, host] of Object.entries(hosts)) this.#row(name, host);
    this.#offer();
    this.#given = JSON.stringify(this.value);
  }

  get changed() {
    return JSON.stringify(this.value) !== this.#given;
  }

  /** As it is sent. @returns {{hosts: object}} */
  get value() {
    const entries = [...this.#hosts].map(([name, { kept, token, repositories }]) => [name, hostOf(kept, token.value, repositories.value)]);
    return { hosts: Object.fromEntries(entries) };
  }

  /** @param {boolean} allowed  whether it may be changed */
  allow(allowed) {
    this.#part.disabled = !allowed;
  }

  /** Shows which host an error is about. @param {string} [field]  `git.hosts.NAME.PART` */
  mark(field) {
    for (const [name, { token, repositories }] of this.#hosts) {
      for (const [part, input] of Object.entries({ token, repositories })) {
        input.toggleAttribute("aria-invalid", field === `git.hosts.${name}.${part}`);
      }
    }
  }

  #row(name, kept) {
    const field = (label, properties) => element("input", { className: "field", autocomplete: "off", spellcheck: false, aria: { label: `${label} for ${name}` }, ...properties });
    const token = field("Token", { type: "password", placeholder: kept.token ? "A token is set; type a new one to replace it" : "Token; none reaches what is public" });
    const repositories = field("Repositories", { type: "text", placeholder: "All that the token opens, or: acme, me/site", value: (kept.repositories ?? []).join(", ") });
    const remove = element("button", { type: "button", className: "secondary", aria: { label: `Remove ${name}` } }, "Remove");
    const row = element("li", { className: "git-host", data: { testid: "git-host" } }, element("div", { className: "row" }, element("strong", { className: "one-line" }, name), remove), token, repositories);
    remove.addEventListener("click", () => {
      this.#hosts.delete(name);
      row.remove();
      this.#offer();
      this.#add.focus();
    });
    this.#hosts.set(name, { kept, token, repositories });
    this.#rows.append(row);
  }

  /** The hosts that are not there yet. */
  #offer() {
    const left = this.#known.filter((name) => !this.#hosts.has(name));
    this.#add.replaceChildren(element("option", { value: "" }, "Add a git host…"), ...left.map((name) => element("option", { value: name }, name)));
    this.#add.hidden = left.length === 0;
  }
}
