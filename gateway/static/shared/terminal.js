/** What a terminal shows of a program's output: escapes obeyed or dropped, lines written over by carriage returns. */

/** Control sequences: parameters, what stands between, what to do; none where it is cut off. Also with C1's single sign. */
const SEQUENCE = /(?:\x1b\[|\x9b)([0-?]*)([ -/]*)([@-~]?)/;
/** Titles, links and what else terminals are told: up to their end, else to that of the line. */
const STRING =
  /(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])(?:[^\x07\x18\x1a\x1b\x80-\x9f]*(?:[\x07\x18\x1a\x9c]|\x1b\\)|[^\n\x07\x18\x1a\x1b\x80-\x9f]*)/;
const ESCAPE = /\x1b([ -/]*)([0-~]?)/;
const SIGN = /[\x00-\x08\x0a-\x1f\x7f-\x9f]/;
const CONTROL = new RegExp([SEQUENCE, STRING, ESCAPE, SIGN].map((one) => one.source).join("|"), "g");

/** Further to the right nothing is placed by an escape. */
const MAX_COLUMN = 200;
/** Blanks that escapes make in all: an output grows by no more. */
const MAX_PADDING = 100_000;

/** What stands for the signs from ` to ~ once a program has chosen the set for drawing lines. */
const DRAWN = [..."◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·"];

/** @param {string} output @returns {string} */
export function asTerminalShows(output) {
  if (!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(output)) return output;
  const screen = new Screen();
  let at = 0;
  for (const found of output.matchAll(CONTROL)) {
    const [whole, parameters, between, what, intermediate, final] = found;
    if (found.index > at) screen.write(output.slice(at, found.index));
    at = found.index + whole.length;
    if (what) screen.obey(what, parameters, between);
    else if (final) screen.escape(final, intermediate);
    else if (whole.length === 1) screen.control(whole);
  }
  if (at < output.length) screen.write(output.slice(at));
  return screen.text;
}

class Screen {
  /** The lines in which something stands or stood, by their number. */
  #rows = new Map();
  #height = 1;
  #row = 0;
  #column = 0;
  #padding = MAX_PADDING;
  #saved = { row: 0, column: 0 };
  /** Lines and place of the first screen, while a program has the second one. */
  #first = null;
  /** Which of two sets each is for drawing, and which of them is in use. */
  #drawing = [false, false];
  #set = 0;

  get text() {
    // Who was ended on the second screen hides nothing of the first.
    const below = this.#first ? [...lines(this.#first.rows, this.#first.height)] : [];
    return [...below, ...lines(this.#rows, this.#height)].join("\n");
  }

  write(text) {
    const row = this.#line();
    this.#pad(row, this.#column);
    this.#column = Math.min(this.#column, row.length);
    for (const character of text) row[this.#column++] = this.#drawing[this.#set] ? drawn(character) : character;
  }

  control(character) {
    if (character === "\r") this.#column = 0;
    else if (character === "\b") this.#column = Math.max(this.#column - 1, 0);
    else if ("\n\v\f\x85".includes(character)) this.#down(0);
    else if (character === "\x84") this.#down(this.#column);
    else if (character === "\x8d") this.#row = Math.max(this.#row - 1, 0);
    else if (character === "\x0e") this.#set = 1;
    else if (character === "\x0f") this.#set = 0;
  }

  /** An escape of two signs, or more where a set is chosen (ECMA-35). */
  escape(final, intermediate) {
    if (intermediate === "(") this.#drawing[0] = final === "0";
    if (intermediate === ")") this.#drawing[1] = final === "0";
    if (intermediate) return;
    if (final === "7") this.#save();
    if (final === "8") this.#restore();
    if (final === "D") this.control("\x84");
    if (final === "E") this.control("\x85");
    if (final === "M") this.control("\x8d");
    if (final === "c") {
      this.#empty(1);
      this.#row = this.#column = 0;
      this.#drawing = [false, false];
    }
  }

  /** A control sequence (ECMA-48): moves and erasures; colours and modes change nothing here. */
  obey(what, parameters, between) {
    if (/^\?(?:47|1047|1049)$/.test(parameters) && "hl".includes(what)) this.#turnTo(what === "h");
    if (between || /^[<-?]/.test(parameters)) return;
    const [first, second] = parameters.split(";").map(Number);
    const count = Math.max(first || 1, 1);
    if (what === "A" || what === "F") this.#row = Math.max(this.#row - count, 0);
    if (what === "B" || what === "E" || what === "e") this.#row = Math.min(this.#row + count, this.#height - 1);
    if (what === "E" || what === "F") this.#column = 0;
    if (what === "C" || what === "a") {
      this.#column = Math.max(this.#column, Math.min(this.#column + count, MAX_COLUMN));
    }
    if (what === "D") this.#column = Math.max(this.#column - count, 0);
    if (what === "G" || what === "`") this.#column = Math.min(count - 1, MAX_COLUMN);
    if (what === "H" || what === "f" || what === "d") this.#row = Math.min(count, this.#height) - 1;
    if (what === "H" || what === "f") this.#column = Math.min(Math.max(second || 1, 1) - 1, MAX_COLUMN);
    if (what === "K") this.#eraseLine(first || 0);
    if (what === "J") this.#eraseScreen(first || 0);
    if (what === "X") this.#blank(this.#column, this.#column + count);
    if (what === "P") this.#delete(count);
    if (what === "@") this.#insert(count);
    if (what === "s") this.#save();
    if (what === "u") this.#restore();
  }

  #line() {
    let row = this.#rows.get(this.#row);
    if (!row) this.#rows.set(this.#row, (row = []));
    return row;
  }

  #down(column) {
    this.#row += 1;
    this.#column = column;
    this.#height = Math.max(this.#height, this.#row + 1);
  }

  #save() {
    this.#saved = { row: this.#row, column: this.#column };
  }

  #restore() {
    this.#row = Math.min(this.#saved.row, this.#height - 1);
    this.#column = this.#saved.column;
  }

  /** To the second screen, which is empty, or back to what the first one had. */
  #turnTo(second) {
    if (second === (this.#first !== null)) return;
    if (second) {
      this.#first = { rows: this.#rows, height: this.#height, row: this.#row, column: this.#column };
      this.#empty(1);
      this.#row = this.#column = 0;
    } else {
      this.#rows = this.#first.rows;
      this.#height = this.#first.height;
      this.#row = this.#first.row;
      this.#column = this.#first.column;
      this.#first = null;
    }
  }

  #empty(height) {
    this.#rows = new Map();
    this.#height = height;
  }

  #eraseLine(how) {
    const row = this.#line();
    if (how === 2) row.length = 0;
    else if (how === 0) row.length = Math.min(row.length, this.#column);
    else if (this.#column <= MAX_COLUMN) this.#blank(0, this.#column + 1);
  }

  #eraseScreen(how) {
    if (how >= 2) {
      this.#empty(this.#row + 1);
    } else if (how === 0) {
      this.#eraseLine(0);
      for (let at = this.#row + 1; at < this.#height; at += 1) this.#rows.delete(at);
      this.#height = this.#row + 1;
    }
  }

  #blank(from, to) {
    const row = this.#line();
    const end = Math.min(to, row.length, from + MAX_COLUMN + 1);
    for (let at = from; at < end; at += 1) row[at] = " ";
  }

  /** What is behind the place moves up to it; as on a screen of so many columns. */
  #delete(count) {
    const row = this.#line();
    const end = Math.min(row.length, MAX_COLUMN);
    for (let at = this.#column; at < end; at += 1) row[at] = at + count < end ? row[at + count] : " ";
    if (row.length === end && this.#column < end) row.length = Math.max(this.#column, end - count);
  }

  /** What is at the place and behind it makes room; as on a screen of so many columns. */
  #insert(count) {
    const row = this.#line();
    if (this.#column >= Math.min(row.length, MAX_COLUMN)) return;
    this.#pad(row, row.length + count);
    const end = Math.min(row.length, MAX_COLUMN);
    for (let at = end - 1; at >= this.#column + count; at -= 1) row[at] = row[at - count];
    this.#blank(this.#column, Math.min(this.#column + count, end));
  }

  #pad(row, length) {
    const end = Math.min(length, MAX_COLUMN, row.length + this.#padding);
    while (row.length < end) {
      row.push(" ");
      this.#padding -= 1;
    }
  }
}

function* lines(rows, height) {
  for (let at = 0; at < height; at += 1) yield rows.get(at)?.join("") ?? "";
}

function drawn(character) {
  if (character === "_") return " ";
  return character >= "`" && character <= "~" ? DRAWN[character.charCodeAt(0) - 0x60] : character;
}
