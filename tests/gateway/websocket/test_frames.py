"""The walker of frames: the same frames however the bytes come, and a breach wherever a head breaks the RFC."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.websocket.frames import OPCODE, Breach, Code, Op, close_code, close_frame, frame, is_text, mask
from gateway.websocket.walker import Walker

LIMIT = 100_000
SIZES = (0, 1, 5, 125, 126, 127, 300, 65535, 65536, 70000)

one = st.tuples(st.sampled_from(SIZES), st.integers(1, 4), st.booleans())
"""A message: its size, the fragments it comes in, whether a ping comes before the last of them."""

streams = st.lists(one, min_size=1, max_size=6)
cuts = st.lists(st.integers(0, 2**16), max_size=12)


def pieces_of(size: int, count: int, with_ping: bool) -> list[tuple[int, bytes]]:
    """The first byte and the payload of each frame of a message."""
    body = bytes(index % 251 for index in range(size))
    step = size // count + 1
    parts = [body[at : at + step] for at in range(0, max(1, size), step)]
    framed = [
        ((0x80 if index == len(parts) - 1 else 0) | (Op.CONTINUATION if index else Op.BINARY), part)
        for index, part in enumerate(parts)
    ]
    if with_ping:
        framed.insert(len(framed) - 1, (0x80 | Op.PING, b"between"))
    return framed


def encoded(first: int, payload: bytes, *, masked: bool) -> bytes:
    return bytes((first,)) + frame(Op.BINARY, payload, masked=masked)[1:]


def split(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[a:b] for a, b in pairwise(places)]


@given(stream=streams, at=cuts, masked=st.booleans(), most=st.integers(1, 5))
def test_whole_frames_are_told_however_the_bytes_come(
    stream: Any, at: list[int], masked: bool, most: int
) -> None:
    wanted = [part for message in stream for part in pieces_of(*message)]
    walker = Walker(masked=masked, whole=True, limit=LIMIT)
    found = []
    rest = b""
    for piece in split(b"".join(encoded(*part, masked=masked) for part in wanted), at):
        rest += piece
        while len(rest) >= walker.need:
            stop = walker.walk(rest, most)
            for first, head, body, end in walker.frames:
                assert rest[head] == first
                payload = rest[body:end]
                found.append((first, mask(payload, rest[body - 4 : body]) if masked else payload))
            rest = rest[stop:]
            if not stop:
                break
    assert (found, rest, walker.breach) == (wanted, b"", None)
    assert walker.small == sum(len(payload) < 126 for _, payload in wanted)
    assert walker.hollow == sum(not payload or first & OPCODE > 7 for first, payload in wanted)


@given(stream=streams, at=cuts, masked=st.booleans(), most=st.integers(1, 5))
def test_bytes_pass_as_they_are_and_boundaries_are_known(
    stream: Any, at: list[int], masked: bool, most: int
) -> None:
    framed = [encoded(*part, masked=masked) for message in stream for part in pieces_of(*message)]
    ends = {0}
    for one in framed:
        ends.add(max(ends) + len(one))
    walker = Walker(masked=masked, whole=False, limit=LIMIT)
    passed, rest = b"", b""
    for piece in split(b"".join(framed), at):
        rest += piece
        while rest and len(rest) >= walker.need:
            stop = walker.walk(rest, most)
            passed += rest[:stop]
            rest = rest[stop:]
            assert walker.at_boundary == (len(passed) in ends)
    assert (passed, rest, walker.breach) == (b"".join(framed), b"", None)


@given(data=st.binary(max_size=200), at=cuts, masked=st.booleans(), whole=st.booleans())
def test_any_bytes_get_the_same_verdict_however_they_come(
    data: bytes, at: list[int], masked: bool, whole: bool
) -> None:
    def verdict(pieces: list[bytes]) -> tuple[int, Breach | None, bool]:
        walker = Walker(masked=masked, whole=whole, limit=150)
        rest, passed = b"", 0
        for piece in pieces:
            rest += piece
            while rest and len(rest) >= walker.need and walker.breach is None and not walker.closing:
                stop = walker.walk(rest)
                passed += stop
                rest = rest[stop:]
                if not stop:
                    break
        return (passed if walker.breach or whole else 0), walker.breach, walker.closing

    assert verdict([data]) == verdict(split(data, at))


@given(stream=streams, at=cuts, masked=st.booleans())
def test_what_passes_is_what_a_walk_finds_nothing_to_tell_of(
    stream: Any, at: list[int], masked: bool
) -> None:
    framed = [encoded(*part, masked=masked) for message in stream for part in pieces_of(*message)]
    framed += [frame(Op.TEXT, bytes(size), masked=masked) for size, _, _ in stream]
    one, two = (Walker(masked=masked, whole=False, limit=LIMIT) for _ in range(2))
    rest = b""
    for piece in (*framed, *split(b"".join(framed), at)):
        rest += piece
        while rest and len(rest) >= one.need:
            passed = one.passes(rest)
            stop = two.walk(rest)
            if passed:
                assert (stop, two.at_boundary, two.small, two.hollow, two.plain) == (
                    len(rest),
                    True,
                    0,
                    0,
                    True,
                )
            else:
                assert one.walk(rest) == stop
            one.small = two.small = one.hollow = two.hollow = 0
            rest = rest[stop:]
            if not stop:
                break
    assert (one.breach, one.room, one.at_boundary) == (two.breach, two.room, two.at_boundary)


def walker_behind(*data: bytes) -> Walker:
    """A server's walker of messages up to 70,000 bytes that has walked these."""
    walker = Walker(masked=True, whole=False, limit=70_000)
    for piece in data:
        walker.walk(piece)
    return walker


MIDDLE = frame(Op.TEXT, b"m" * 200, masked=True)


@pytest.mark.parametrize("size", [126, 200, 65535])
def test_a_whole_message_passes(size: int) -> None:
    assert walker_behind().passes(frame(Op.TEXT, b"x" * size, masked=True))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81",
        frame(Op.TEXT, b"x" * 125, masked=True),
        frame(Op.TEXT, b"x" * 65536, masked=True),
        frame(Op.TEXT, b"x" * 200, masked=False),
        frame(Op.BINARY, b"x" * 200, masked=True),
        frame(Op.PING, b"x" * 126, masked=True),
        MIDDLE[:-1],
        MIDDLE + b"\x81",
        MIDDLE + MIDDLE,
        b"\x01" + MIDDLE[1:],
        b"\xc1" + MIDDLE[1:],
        b"\x81\xff" + struct.pack(">Q", 126) + bytes(4 + 126),
    ],
    ids=[f"told-{number}" for number in range(13)],
)
def test_all_else_is_walked(data: bytes) -> None:
    assert not walker_behind().passes(data)


def test_nothing_passes_within_a_frame_or_a_message_or_behind_the_end() -> None:
    assert not walker_behind(MIDDLE[:100]).passes(MIDDLE)
    assert not walker_behind(b"\x01" + MIDDLE[1:]).passes(MIDDLE)
    assert not walker_behind(close_frame(1000, masked=True)).passes(MIDDLE)
    assert not walker_behind(b"\xf1\x80").passes(MIDDLE)
    small = Walker(masked=True, whole=False, limit=199)
    assert not small.passes(MIDDLE)


GOOD = frame(Op.TEXT, b"good", masked=True)
FIRST = b"\x01\x82\x00\x00\x00\x00xx"


@pytest.mark.parametrize(
    ("data", "code", "why"),
    [
        (frame(Op.TEXT, b"x", masked=False), Code.PROTOCOL_ERROR, "unmasked frame"),
        (frame(Op.PING, b"", masked=False), Code.PROTOCOL_ERROR, "unmasked frame"),
        (b"\xf1\x80", Code.PROTOCOL_ERROR, "reserved bits"),
        (b"\x83\x80", Code.PROTOCOL_ERROR, "reserved opcode"),
        (b"\x8b\x80", Code.PROTOCOL_ERROR, "reserved opcode"),
        (b"\x09\x80", Code.PROTOCOL_ERROR, "control frame in pieces or too long"),
        (b"\x89\xfe\x00\x7e", Code.PROTOCOL_ERROR, "control frame in pieces or too long"),
        (b"\x80\x80", Code.PROTOCOL_ERROR, "continuation of nothing, or a message within a message"),
        (FIRST + GOOD, Code.PROTOCOL_ERROR, "continuation of nothing, or a message within a message"),
        (b"\x81\xfe\x00\x7d", Code.PROTOCOL_ERROR, "length in more bytes than it needs"),
        (b"\x81\xff" + struct.pack(">Q", 65535), Code.PROTOCOL_ERROR, "length in more bytes than it needs"),
        (b"\x81\xff" + struct.pack(">Q", 2**63), Code.PROTOCOL_ERROR, "length in more bytes than it needs"),
        (b"\x81\xff" + struct.pack(">Q", LIMIT + 1), Code.TOO_BIG, "message too long"),
        (FIRST + b"\x80\xff" + struct.pack(">Q", LIMIT - 1), Code.TOO_BIG, "message too long"),
    ],
    ids=[f"breach-{number}" for number in range(14)],  # masks are random, and names must not be
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_breach_is_told_by_its_class_and_what_came_before_it_is_in_order(
    data: bytes, code: Code, why: str, whole: bool
) -> None:
    walker = Walker(masked=True, whole=whole, limit=LIMIT)
    stop = walker.walk(GOOD + data)
    assert walker.breach == Breach(code, why)
    assert stop == len(GOOD) + (len(FIRST) if data.startswith(FIRST) else 0)
    assert walker.walk(GOOD) == 0


def test_a_server_does_not_mask() -> None:
    walker = Walker(masked=False, whole=True, limit=LIMIT)
    walker.walk(GOOD)
    assert walker.breach == Breach(Code.PROTOCOL_ERROR, "masked frame")


def test_nothing_is_walked_behind_a_close_frame() -> None:
    walker = Walker(masked=True, whole=True, limit=LIMIT)
    last = close_frame(1000, "done", masked=True)
    assert walker.walk(GOOD + last + GOOD) == len(GOOD + last)
    assert walker.closing
    assert walker.walk(GOOD) == 0


def test_another_limit_holds_from_the_next_message_on() -> None:
    walker = Walker(masked=True, whole=False, limit=LIMIT)
    walker.walk(FIRST)
    walker.allow(2)
    assert walker.walk(b"\x80\xfe\x01\x00" + b"k" * 4 + b"x" * 256) == 264
    walker.walk(GOOD)
    assert walker.breach == Breach(Code.TOO_BIG, "message too long")


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"", None),
        (b"\x03\xe8", 1000),
        (b"\x03\xe8bye", 1000),
        (b"\x0f\xa0", 4000),
        (b"\x03", Code.PROTOCOL_ERROR),
        (b"\x03\xed", Code.PROTOCOL_ERROR),
        (b"\x03\xe7", Code.PROTOCOL_ERROR),
        (b"\x13\x88", Code.PROTOCOL_ERROR),
        (b"\x03\xe8\xc3\x28", Code.INVALID_TEXT),
    ],
)
def test_the_code_of_a_close_frame(payload: bytes, found: int | Code | None) -> None:
    code = close_code(payload)
    assert (code.code if isinstance(code, Breach) else code) == found


def test_a_reason_is_cut_between_characters() -> None:
    said = close_frame(1000, "é" * 200, masked=False)
    assert said[1] == len(said) - 2 <= 125
    assert is_text(said[4:])


@given(payload=st.binary(max_size=300), key=st.binary(min_size=4, max_size=4))
def test_masking_twice_changes_nothing(payload: bytes, key: bytes) -> None:
    masked = mask(payload, key)
    assert masked == bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    assert mask(masked, key) == payload
