"""Frames: stamped, decoded; cursors and tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.protocol import (
    decode,
    encode,
    read_frame,
    sandbox_token,
    seq_of,
    session_of_token,
    stamp,
    stamp_all,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=60,
)


def test_two_hundred_levels_are_a_frame_and_one_more_is_not() -> None:
    def nested(levels: int) -> bytes:
        return (
            b'{"a":' * (levels // 2)
            + b"[" * (levels - levels // 2)
            + b"]" * (levels - levels // 2)
            + (b"}" * (levels // 2))
        )

    assert read_frame(nested(200))[1] == nested(200)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_frame(nested(201))
    wide = encode({"type": "x", "values": [[1]] * 10_000})
    assert read_frame(wide)[1] == wide


def test_a_carriage_return_between_tokens_is_taken_out() -> None:
    assert read_frame(b'{"type":\r"x",\r\n"text":"a\\rb"}') == (
        {"type": "x", "text": "a\rb"},
        b'{"type":"x","text":"a\\rb"}',
    )


@pytest.mark.parametrize("line", [b' {"a":[1]}', b'{"a":[1]} ', b'\n{ "a" : [1] }\t'])
def test_white_space_around_an_object_is_no_fault_and_stays(line: bytes) -> None:
    assert read_frame(line) == ({"a": [1]}, line)


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"1",
        b"",
        b'{"a":NaN}',
        b'{"a":1}x',
        b'{"a":1} x',
        b"{",
        b'{"a":"\xed\xa0\x80"}',
        b"\xff\xfe{\x00}\x00",
        b"{'a':1}",
    ],
)
def test_what_is_no_json_object_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(line)


@given(st.dictionaries(st.text(), JSON, max_size=5), st.sampled_from([b"", b" ", b"\r", b"\t \r\n"]))
def test_the_stamp_wins_over_the_agents_own_numbers(frame: dict[str, Any], behind: bytes) -> None:
    line = json.dumps({**frame, "seq": "mine", "run": "mine"}).encode() + behind
    stamped = json.loads(stamp(line, "run-1", 7))
    assert (stamped.pop("run"), stamped.pop("seq")) == ("run-1", 7)
    assert seq_of(stamp(line, "run-1", 7)) == 7


@pytest.mark.parametrize(
    "odd", [b'{"a":1}', b'{"a":1 }', b"{ }", b"{}", b'{"a":""} ', b'{"a":[]}\t', b'{"a":{}}']
)
def test_many_are_stamped_as_each_is(odd: bytes) -> None:
    lines = [b'{"a":"b"}', odd, b'{"a":[{}]}', b'{"a":{"b":1}}']
    for given_lines in (lines, lines[::2], [odd], []):
        assert stamp_all(given_lines, "r", 9) == [
            stamp(line, "r", n) for n, line in enumerate(given_lines, 9)
        ]


def test_an_empty_object_is_stamped_without_a_comma() -> None:
    assert stamp(b"{ }", "r", 1) == b'{"run":"r","seq":1}'


def test_the_last_seq_of_a_batch() -> None:
    assert seq_of(b'{"run":"r","seq":1}\n{"run":"r","seq":2}') == 2
    assert seq_of(b'{"type":"ping"}') is None


def test_a_lone_surrogate_does_not_make_bytes_that_no_reader_takes() -> None:
    assert encode({"type": "x", "text": "\ud800"}).decode("utf-8")


def test_a_token_is_its_sessions_only() -> None:
    token = sandbox_token(b"secret", "s1")
    assert session_of_token(b"secret", token) == "s1"
    assert session_of_token(b"other", token) is None
    assert session_of_token(b"secret", token.replace("s1", "s2")) is None
    assert session_of_token(b"secret", "nonsense") is None
