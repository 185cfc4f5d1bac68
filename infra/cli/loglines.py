"""Each line of stdin behind a part's name, as a terminal may be shown it: what scripts/logs passes containers' output
through."""

from __future__ import annotations

import sys
from typing import BinaryIO, Final, TextIO

from infra.cli.terminal import visible

LINE_BYTES: Final = 64 * 1024
"""A longer line goes on in the next one, behind the name again: nobody's output is kept waiting for, or in memory."""


def copy(source: BinaryIO, name: str, target: TextIO) -> None:
    """Until the end of `source`. Bytes that are no UTF-8 are spelled out too."""
    while line := source.readline(LINE_BYTES):
        text = line.removesuffix(b"\n").decode("utf-8", "backslashreplace")
        target.write(f"{name} | {visible(text)}\n")
        target.flush()


def main() -> None:
    """`python -m infra.cli.loglines NAME`."""
    try:
        copy(sys.stdin.buffer, sys.argv[1], sys.stdout)
    except (BrokenPipeError, KeyboardInterrupt):
        # Who reads has enough. Nothing is left to flush, and the interpreter's own attempt would complain.
        sys.stdout = sys.stderr


if __name__ == "__main__":
    main()
