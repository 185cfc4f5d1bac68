"""Text from outside as a terminal may be shown it: nothing in it moves the cursor, hides, reorders or answers.

`python -m infra.cli.terminal NAME` passes a container's output through, each line behind its part's name.
"""

from __future__ import annotations

import re
import sys
from typing import BinaryIO, Final, TextIO

DRIVES: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal obeys: C0 but line end and tab, DEL, and C1 (ECMA-48 section 5.3); and what makes text read as other
than it is: Unicode's directional controls (UAX #9 section 2) and its own line ends."""

LINE_BYTES: Final = 64 * 1024
"""A longer line goes on in the next one, behind the name again: nobody's output is kept waiting for, or in memory."""


def visible(text: str) -> str:
    r"""`text` with such characters spelled out, as in `\x1b[2J`; line ends and tabs stay."""
    return DRIVES.sub(_spelled, text)


def copy(source: BinaryIO, name: str, target: TextIO) -> None:
    """Line by line until the end of `source`. Bytes that are no UTF-8 are spelled out too."""
    while line := source.readline(LINE_BYTES):
        text = line.removesuffix(b"\n").decode("utf-8", "backslashreplace")
        target.write(f"{name} | {visible(text)}\n")
        target.flush()


def main() -> None:
    """Copy stdin to stdout until its end, or until nobody reads."""
    try:
        copy(sys.stdin.buffer, sys.argv[1], sys.stdout)
    except (BrokenPipeError, KeyboardInterrupt):
        # Nothing is left to flush, and the interpreter's own attempt would complain.
        sys.stdout = sys.stderr


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")


if __name__ == "__main__":
    main()
