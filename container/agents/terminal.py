"""What a terminal shows of a tool's output: escapes obeyed or dropped, lines written over by carriage returns.

`gateway/static/shared/terminal.js` does the same, for agents that do not; one list of cases holds both."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_CHARS: Final = 1_000_000
"""Of a longer output the rest is not looked at."""

MAX_COLUMN: Final = 200
"""Further to the right nothing is placed by an escape."""

MAX_PADDING: Final = 100_000
"""Blanks that escapes make in all: an output grows by no more."""

_CONTROL: Final = re.compile(
    # Control sequences, also with C1's single sign: parameters, what stands between, what to do (cut off: nothing).
    r"(?:\x1b\[|\x9b)([0-?]*)([ -/]*)([@-~]?)"
    # Titles, links and what else terminals are told: up to their end, else to that of the line.
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])"
    r"(?:[^\x07\x18\x1a\x1b\x80-\x9f]*(?:[\x07\x18\x1a\x9c]|\x1b\\)|[^\n\x07\x18\x1a\x1b\x80-\x9f]*)"
    r"|\x1b([ -/]*)([0-~]?)"
    r"|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)
_SPECIAL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PRIVATE: Final = re.compile(r"[<-?]")
_SECOND_SCREEN: Final = frozenset({"?47", "?1047", "?1049"})

_DRAWN: Final = {0x60 + at: sign for at, sign in enumerate("◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")} | {
    ord("_"): " "
}
"""What stands for the signs from ` to ~ once a program has chosen the set for drawing lines."""


def as_terminal_shows(output: str) -> str:
    """The text that stands on the screen once `output` was written to it, without colours."""
    if not _SPECIAL.search(output):
        return output
    output = output[:MAX_CHARS]
    screen = _Screen()
    at = 0
    for found in _CONTROL.finditer(output):
        if found.start() > at:
            screen.write(output[at : found.start()])
        at = found.end()
        parameters, between, what, intermediate, final = found.groups()
        if what:
            screen.obey(what, parameters, between)
        elif final:
            screen.escape(final, intermediate)
        elif len(found[0]) == 1:
            screen.control(found[0])
    if at < len(output):
        screen.write(output[at:])
    return screen.text


class _State(NamedTuple):
    rows: dict[int, list[str]]
    height: int
    row: int
    column: int


class _Screen:
    def __init__(self) -> None:
        self._rows: dict[int, list[str]] = {}  # those in which something stands or stood, by their number
        self._height = 1
        self._row = 0
        self._column = 0
        self._padding = MAX_PADDING
        self._saved = (0, 0)
        self._first: _State | None = None  # while a program has the second screen
        self._drawing = [False, False]  # which of two sets is for drawing
        self._set = 0

    @property
    def text(self) -> str:
        # Who was ended on the second screen hides nothing of the first.
        first = _lines(self._first.rows, self._first.height) if self._first else []
        return "\n".join([*first, *_lines(self._rows, self._height)])

    def write(self, text: str) -> None:
        row = self._line()
        self._pad(row, self._column)
        self._column = min(self._column, len(row))
        row[self._column : self._column + len(text)] = (
            text.translate(_DRAWN) if self._drawing[self._set] else text
        )
        self._column += len(text)

    def control(self, character: str) -> None:
        match character:
            case "\r":
                self._column = 0
            case "\b":
                self._column = max(self._column - 1, 0)
            case "\n" | "\v" | "\f" | "\x85":
                self._down(0)
            case "\x84":
                self._down(self._column)
            case "\x8d":
                self._row = max(self._row - 1, 0)
            case "\x0e" | "\x0f":
                self._set = int(character == "\x0e")
            case _:
                pass

    def escape(self, final: str, intermediate: str) -> None:
        """An escape of two signs, or more where a set is chosen (ECMA-35)."""
        match intermediate, final:
            case "(" | ")", _:
                self._drawing[intermediate == ")"] = final == "0"
            case "", "7":
                self._save()
            case "", "8":
                self._restore()
            case "", "D" | "E" | "M":
                self.control({"D": "\x84", "E": "\x85", "M": "\x8d"}[final])
            case "", "c":
                self._rows, self._height, self._row, self._column = {}, 1, 0, 0
                self._drawing = [False, False]
            case _:
                pass

    def obey(self, what: str, parameters: str, between: str) -> None:
        """A control sequence (ECMA-48): moves and erasures; colours and modes change nothing here."""
        if parameters in _SECOND_SCREEN and what in "hl":
            self._turn_to(second=what == "h")
        if between or _PRIVATE.match(parameters):
            return
        numbers = [int(part) if part.isdecimal() else 0 for part in parameters[:40].split(";")]
        first, second = numbers[0], numbers[1] if len(numbers) > 1 else 0
        if what in "HfG`d":
            self._place(what, max(first, 1), max(second, 1))
        elif what in "ABCDEFae":
            self._move(what, max(first, 1))
        elif what in "KJX@P":
            self._erase(what, first)
        elif what == "s":
            self._save()
        elif what == "u":
            self._restore()

    def _place(self, what: str, first: int, second: int) -> None:
        if what in "Hfd":
            self._row = min(first, self._height) - 1
        if what in "HfG`":
            self._column = min((second if what in "Hf" else first) - 1, MAX_COLUMN)

    def _move(self, what: str, count: int) -> None:
        if what in "AF":
            self._row = max(self._row - count, 0)
        elif what in "BEe":
            self._row = min(self._row + count, self._height - 1)
        elif what in "Ca":
            self._column = max(self._column, min(self._column + count, MAX_COLUMN))
        else:
            self._column = max(self._column - count, 0)
        if what in "EF":
            self._column = 0

    def _erase(self, what: str, first: int) -> None:
        match what:
            case "K":
                self._erase_line(first)
            case "J":
                self._erase_screen(first)
            case "X":
                self._blank(self._column, self._column + max(first, 1))
            case "P":
                self._delete(max(first, 1))
            case _:
                self._insert(max(first, 1))

    def _line(self) -> list[str]:
        return self._rows.setdefault(self._row, [])

    def _down(self, column: int) -> None:
        self._row += 1
        self._column = column
        self._height = max(self._height, self._row + 1)

    def _save(self) -> None:
        self._saved = (self._row, self._column)

    def _restore(self) -> None:
        self._row, self._column = min(self._saved[0], self._height - 1), self._saved[1]

    def _turn_to(self, *, second: bool) -> None:
        """To the second screen, which is empty, or back to what the first one had."""
        if second and self._first is None:
            self._first = _State(self._rows, self._height, self._row, self._column)
            self._rows, self._height, self._row, self._column = {}, 1, 0, 0
        elif not second and self._first is not None:
            self._rows, self._height, self._row, self._column = self._first
            self._first = None

    def _erase_line(self, how: int) -> None:
        row = self._line()
        if how == 2:
            row.clear()
        elif how == 0:
            del row[self._column :]
        elif self._column <= MAX_COLUMN:
            self._blank(0, self._column + 1)

    def _erase_screen(self, how: int) -> None:
        if how >= 2:
            self._rows, self._height = {}, self._row + 1
        elif how == 0:
            self._erase_line(0)
            for at in range(self._row + 1, self._height):
                self._rows.pop(at, None)
            self._height = self._row + 1

    def _blank(self, start: int, end: int) -> None:
        row = self._line()
        end = min(end, len(row), start + MAX_COLUMN + 1)
        if start < end:
            row[start:end] = " " * (end - start)

    def _delete(self, count: int) -> None:
        """What is behind the place moves up to it; as on a screen of so many columns."""
        row, at = self._line(), self._column
        end = min(len(row), MAX_COLUMN)
        if at < end:
            left = row[at + count : end] if at + count < end else []
            row[at:end] = left + [" "] * (end - at - len(left)) if len(row) > end else left

    def _insert(self, count: int) -> None:
        """What is at the place and behind it makes room; as on a screen of so many columns."""
        row, at = self._line(), self._column
        if at < min(len(row), MAX_COLUMN):
            self._pad(row, len(row) + count)
            end = min(len(row), MAX_COLUMN)
            blanks = min(count, end - at)
            row[at:end] = [" "] * blanks + row[at : end - blanks]

    def _pad(self, row: list[str], length: int) -> None:
        missing = min(length, MAX_COLUMN) - len(row)
        if missing > 0:
            missing = min(missing, self._padding)
            self._padding -= missing
            row.extend(" " * missing)


def _lines(rows: dict[int, list[str]], height: int) -> list[str]:
    return ["".join(rows.get(at, ())) for at in range(height)]
