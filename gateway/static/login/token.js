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

/** When a JWT ends, in epoch ms; NaN when it does not say or is no JWT. */
export const expiryOf = (token) => Number(claimsOf(token).exp ?? Number.NaN) * 1000;

/** Whose a JWT is; empty when it does not say or is no JWT. */
export const subjectOf = (token) => String(claimsOf(token).sub ?? "");

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
 * What to do with a token that an address brings: anyone may have made that address.
 *
 * @returns {"take" | "ask" | "ignore"}  `ask`: someone else is signed in
 */
export function judgeOffer(offered, kept, now) {
  if (!(expiryOf(kept) > now)) return "take";
  if (!(expiryOf(offered) > now)) return "ignore";
  return subjectOf(offered) === subjectOf(kept) ? "take" : "ask";
}
