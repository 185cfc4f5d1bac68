"""What a terminal shows of a tool's output: escapes obeyed or dropped, lines written over by carriage returns."""

from __future__ import annotations

import re
from typing import Final

MAX_CHARS: Final = 1_000_000
"""Of a longer output the rest is not looked at."""

MAX_COLUMN: Final = 200
"""Further to the right nothing is placed by an escape."""

_CONTROL: Final = re.compile(
    r"\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b\[[0-?]*[ -/]*$"
    r"|\x1b[ -/]*[0-~]?|[\x00-\x08\x0a-\x1f\x7f]"
)
_SPECIAL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def as_terminal_shows(output: str) -> str:
    """The text that stands on the screen once `output` was written to it, without colours."""
    if not _SPECIAL.search(output):
        return output
    output = output[:MAX_CHARS]
    screen = _Screen()
    at = 0
    for found in _CONTROL.finditer(output):
        screen.write(output[at : found.start()])
        at = found.end()
        if found[2]:
            screen.obey(found[2], found[1])
        else:
            screen.control(found[0])
    screen.write(output[at:])
    return screen.text


class _Screen:
    def __init__(self) -> None:
        self._rows: list[list[str]] = [[]]
        self._row = 0
        self._column = 0

    @property
    def text(self) -> str:
        return "\n".join("".join(row) for row in self._rows)

    def write(self, text: str) -> None:
        row = self._rows[self._row]
        if text and len(row) < self._column:
            row.extend(" " * (self._column - len(row)))
        row[self._column : self._column + len(text)] = text
        self._column += len(text)

    def control(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\b":
            self._column = max(self._column - 1, 0)
        elif character in "\n\v\f":
            self._row += 1
            self._column = 0
            if self._row == len(self._rows):
                self._rows.append([])

    def obey(self, what: str, parameters: str) -> None:
        """A control sequence (ECMA-48): moves and erasures; colours and modes change nothing here."""
        numbers = [int(part) if part.isdecimal() else 0 for part in parameters[:40].split(";")]
        first, second = numbers[0], numbers[1] if len(numbers) > 1 else 0
        count = max(first, 1)
        match what:
            case "A" | "F":
                self._row = max(self._row - count, 0)
            case "B" | "E":
                self._row = min(self._row + count, len(self._rows) - 1)
            case "C":
                self._column = max(self._column, min(self._column + count, MAX_COLUMN))
            case "D":
                self._column = max(self._column - count, 0)
            case "G":
                self._column = min(count - 1, MAX_COLUMN)
            case "H" | "f":
                self._row = min(count, len(self._rows)) - 1
                self._column = min(max(second, 1) - 1, MAX_COLUMN)
            case "K":
                self._erase_line(first)
            case "J":
                self._erase_screen(first)
            case _:
                pass
        if what in "EF":
            self._column = 0

    def _erase_line(self, how: int) -> None:
        row = self._rows[self._row]
        if how == 2:
            row.clear()
        elif how == 0:
            del row[self._column :]
        elif self._column <= MAX_COLUMN:
            end = min(self._column + 1, len(row))
            row[:end] = " " * end

    def _erase_screen(self, how: int) -> None:
        if how >= 2:
            self._rows = [[] for _ in range(self._row + 1)]
        elif how == 0:
            self._erase_line(0)
            del self._rows[self._row + 1 :]
