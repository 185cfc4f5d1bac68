/** What a terminal shows of a program's output: escapes obeyed or dropped, lines written over by carriage returns. */

/** Escapes, whole or cut off at the end; what moves the place of writing; other control characters. */
const CONTROL =
  /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b\[[0-?]*[ -/]*$|\x1b[ -/]*[0-~]?|[\x00-\x08\x0a-\x1f\x7f]/g;
/** Further to the right nothing is placed by an escape. */
const MAX_COLUMN = 200;

/** @param {string} output @returns {string} */
export function asTerminalShows(output) {
  if (!/[\x00-\x08\x0b-\x1f\x7f]/.test(output)) return output;
  const screen = new Screen();
  let at = 0;
  for (const found of output.matchAll(CONTROL)) {
    screen.write(output.slice(at, found.index));
    at = found.index + found[0].length;
    if (found[2]) screen.obey(found[2], found[1]);
    else screen.control(found[0]);
  }
  screen.write(output.slice(at));
  return screen.text;
}

class Screen {
  #rows = [[]];
  #row = 0;
  #column = 0;

  get text() {
    return this.#rows.map((row) => row.join("")).join("\n");
  }

  write(text) {
    if (!text) return;
    const row = this.#rows[this.#row];
    while (row.length < this.#column) row.push(" ");
    for (const character of text) row[this.#column++] = character;
  }

  control(character) {
    if (character === "\r") this.#column = 0;
    else if (character === "\b") this.#column = Math.max(this.#column - 1, 0);
    else if (character === "\n" || character === "\v" || character === "\f") {
      this.#row += 1;
      this.#column = 0;
      if (this.#row === this.#rows.length) this.#rows.push([]);
    }
  }

  /** A control sequence (ECMA-48): moves and erasures; colours and modes change nothing here. */
  obey(what, parameters) {
    const [first, second] = parameters.split(";").map(Number);
    const count = Math.max(first || 1, 1);
    if (what === "A" || what === "F") this.#row = Math.max(this.#row - count, 0);
    if (what === "B" || what === "E") this.#row = Math.min(this.#row + count, this.#rows.length - 1);
    if (what === "E" || what === "F") this.#column = 0;
    if (what === "C") this.#column = Math.max(this.#column, Math.min(this.#column + count, MAX_COLUMN));
    if (what === "D") this.#column = Math.max(this.#column - count, 0);
    if (what === "G") this.#column = Math.min(count - 1, MAX_COLUMN);
    if (what === "H" || what === "f") {
      this.#row = Math.min(count, this.#rows.length) - 1;
      this.#column = Math.min(Math.max(second || 1, 1) - 1, MAX_COLUMN);
    }
    if (what === "K") this.#eraseLine(first || 0);
    if (what === "J") this.#eraseScreen(first || 0);
  }

  #eraseLine(how) {
    const row = this.#rows[this.#row];
    if (how === 2) row.length = 0;
    else if (how === 0) row.length = Math.min(row.length, this.#column);
    else if (this.#column <= MAX_COLUMN) row.fill(" ", 0, this.#column + 1);
  }

  #eraseScreen(how) {
    if (how >= 2) {
      this.#rows = Array.from({ length: this.#row + 1 }, () => []);
    } else if (how === 0) {
      this.#eraseLine(0);
      this.#rows.length = this.#row + 1;
    }
  }
}
