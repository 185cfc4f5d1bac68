/** What a token says of itself, and what to do with one that an address brings. Only the gateway judges a token. */

/** What a JWT claims, nothing when it is no JWT. */
function claimsOf(token) {
  try {
    const body = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(body, (byte) => byte.charCodeAt(0)))) ?? {};
  } catch {
    return {};
  }
}

/** Whether it is a JWT that says when it ends. With any other character in it, it could not even be sent. */
export const isToken = (token) => /^[\w-]+(?:\.[\w-]+){2}$/.test(token) && Number.isFinite(claimsOf(token).exp);

/** Whose a JWT is; empty when it does not say or is no JWT. */
export const subjectOf = (token) => String(claimsOf(token).sub ?? "");

/** The token in what was pasted: wrapped by a terminal or a mail, or the whole address that `scripts/up` printed. */
export const tokenOf = (pasted) => pasted.replace(/\s+/g, "").replace(/^.*#token=/, "").split("&")[0];

/** The token that an address brings; null when it brings none. @param {string} hash @returns {string | null} */
export function tokenIn(hash) {
  const found = /^#(?:.*&)?token=([^&]+)/.exec(hash)?.[1];
  if (found === undefined) return null;
  try {
    return decodeURIComponent(found);
  } catch {
    return found; // Broken, and no token.
  }
}

/**
 * What to do with a token that an address brings: anyone may have made that address. Clocks are not asked: which token
 * is good the gateway tells.
 *
 * @returns {"take" | "ask" | "ignore"}  `ask`: someone else was signed in
 */
export function judgeOffer(offered, kept) {
  if (!isToken(kept)) return "take";
  if (!isToken(offered)) return "ignore";
  return subjectOf(offered) === subjectOf(kept) ? "take" : "ask";
}
