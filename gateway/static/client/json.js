/** JSON in which whole numbers stay what they are: those that a double does not hold become BigInts, and are written again. */

/** Strings, to be left alone, and whole numbers of 16 digits and more. */
const STRING_OR_LONG = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const LONG = /^-?[1-9]\d{15,}$/;
/** Before the digits of a number that is carried as a string; of the private use area, so that texts hardly have it. */
const MARK = "\ue0f5";
const CARRIED = new RegExp(`^${MARK}(-?\\d{16,})$`);

/** @param {string} text @returns {any} @throws {SyntaxError} */
export function parseJson(text) {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const carried = text.replace(STRING_OR_LONG, (found) =>
    LONG.test(found) && !Number.isSafeInteger(Number(found)) ? `"${MARK}${found}"` : found,
  );
  return JSON.parse(carried, (_key, value) => {
    const digits = typeof value === "string" ? CARRIED.exec(value)?.[1] : undefined;
    return digits === undefined ? value : BigInt(digits);
  });
}

/** @param {any} value @param {number} [indent] @returns {string} */
export function toJson(value, indent) {
  const carry = (_key, one) => (typeof one === "bigint" ? `${MARK}${one}` : one);
  return JSON.stringify(value, carry, indent)?.replace(new RegExp(`"${MARK}(-?\\d+)"`, "g"), "$1");
}
