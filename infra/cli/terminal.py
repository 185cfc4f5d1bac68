"""Text from outside as a terminal may be shown it: nothing in it moves the cursor, hides, reorders or answers."""

from __future__ import annotations

import re
from typing import Final

DRIVES: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal obeys: C0 but line end and tab, DEL, and C1 (ECMA-48 section 5.3); and what makes text read as other
than it is: Unicode's directional controls (UAX #9 section 2) and its own line ends."""


def visible(text: str) -> str:
    r"""`text` with such characters spelled out, as in `\x1b[2J`; line ends and tabs stay."""
    return DRIVES.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")
