"""`MaskedReader` hands on masked frames as they are and replaces the first unmasked one, however the bytes come."""

from __future__ import annotations

import random

import pytest

from container.web.masked_frames import MaskedReader
from tests.rawpeer import Op, frame

SIZES = (0, 1, 5, 125, 126, 127, 300, 65535, 65536, 70000)
CHUNKS = (1, 2, 3, 7, 100, 70000)


class Sink:
    """Keeps what it is fed."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.got += data
        return False, b""

    def feed_eof(self) -> None:
        self.ended = True


def feed(data: bytes, chances: random.Random) -> Sink:
    sink = Sink()
    reader = MaskedReader(sink)
    at = 0
    while at < len(data):
        step = chances.choice(CHUNKS)
        reader.feed_data(data[at : at + step])
        at += step
    reader.feed_eof()
    return sink


@pytest.mark.parametrize("seed", range(50))
def test_masked_frames_pass_in_any_pieces(seed: int) -> None:
    chances = random.Random(seed)
    data = b"".join(frame(Op.BINARY, chances.randbytes(chances.choice(SIZES))) for _ in range(4))
    sink = feed(data, chances)
    assert sink.got == data
    assert sink.ended


@pytest.mark.parametrize("seed", range(50))
def test_an_unmasked_frame_and_all_after_it_are_replaced_by_one_that_is_refused(seed: int) -> None:
    chances = random.Random(seed)
    good = b"".join(frame(Op.TEXT, chances.randbytes(chances.choice(SIZES))) for _ in range(2))
    bad = frame(Op.TEXT, b"unmasked", masked=False) + frame(Op.TEXT, b"masked again")
    assert feed(good + bad, chances).got == good + b"\xff\x80"
