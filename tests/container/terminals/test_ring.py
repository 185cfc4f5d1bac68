"""A ring of bytes, against a list of all that was ever said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.terminals.ring import Ring


@given(st.integers(1, 40), st.lists(st.binary(max_size=90), max_size=20))
def test_what_is_kept_is_the_end_of_what_was_said(size: int, pieces: list[bytes]) -> None:
    ring, said = Ring(size), b""
    for piece in pieces:
        ring.append(piece)
        said += piece
        assert ring.end == len(said)
        assert ring.start == max(0, len(said) - size)
        for offset in range(ring.start, ring.end + 1):
            assert ring.read(offset, size) == said[offset:]
            assert ring.read(offset, 3) == said[offset : offset + 3]


@pytest.mark.parametrize("offset", [1, 6, -1])
def test_what_is_gone_or_still_to_come_is_not_read(offset: int) -> None:
    ring = Ring(3)
    ring.append(b"abcde")
    with pytest.raises(ValueError, match="is not from 2 to 5"):
        ring.read(offset, 1)
