"""Frames that are too long: cut to the limit, whatever is in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.agent.cut import cut_frame, cut_object
from container.protocol import MAX_BODY_BYTES, MAX_FRAME_BYTES, decode, encode, stamp

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=8),
    max_leaves=60,
)


def test_a_frame_that_fits_is_not_touched() -> None:
    line = b'{ "type" : "x" }'
    assert cut_frame(line) is line


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "tool-result", "id": "1", "name": "Bash", "output": "é" * 20_000_000},
        {"type": "tool-result", "output": "\x00" * 5_000_000, "name": "n" * 200},
        {"type": "x", "values": [1] * 1_000_000},
        {"type": "x", "values": [[[0.5] * 100] * 100] * 100},
        {"values": {f"key {n}": n for n in range(200_000)}, "type": "behind"},
        {"type": "x", "k" * 1_000_000: "v"},
        {"type": "x", "number": 10**4000, "more": [10**4000] * 100},
        {"type": "t" * 1_000_000},
    ],
    ids=["text", "control characters", "array", "nested", "object", "key", "numbers", "type"],
)
def test_a_longer_one_is_cut_to_the_limit_and_says_so(frame: dict[str, Any]) -> None:
    line = encode(frame)
    cut = json.loads(cut_frame(line))
    assert len(stamp(cut_frame(line), "r" * 64, 10**15)) <= MAX_FRAME_BYTES
    assert cut["truncated"] is True
    assert cut["fullBytes"] == len(line)
    assert cut["type"] == frame["type"][:64]


def test_short_fields_survive_beside_a_long_one_and_the_long_one_keeps_what_fits() -> None:
    line = encode({"type": "tool-result", "id": "toolu_1", "name": "Bash", "output": "x" * 1_000_000})
    cut = json.loads(cut_frame(line))
    assert (cut["id"], cut["name"]) == ("toolu_1", "Bash")
    assert MAX_BODY_BYTES // 4 < len(cut["output"]) <= MAX_BODY_BYTES


def test_nesting_past_the_parser_is_refused_and_within_it_is_cut() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        cut_frame(b'{"type":"x","deep":%s%s}' % (b"[" * 200_000, b"]" * 200_000))
    deep = b'{"type":"x","deep":%s%s,"text":"%s"}' % (b"[" * 199, b"]" * 199, b"t" * 300_000)
    assert len(cut_frame(deep)) <= MAX_BODY_BYTES


@given(st.dictionaries(st.text(), JSON, max_size=8), st.integers(min_value=256, max_value=2000))
def test_any_object_is_cut_to_any_limit(frame: dict[str, Any], limit: int) -> None:
    cut = cut_object({"type": "x", **frame}, 12345, limit)
    assert len(cut) <= limit
    assert decode(cut)["truncated"] is True
