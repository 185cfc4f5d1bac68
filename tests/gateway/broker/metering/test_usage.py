"""What a call has used, read out of the bytes of its answer however they come apart."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.broker.metering.prices import USD, Prices, price
from gateway.broker.metering.usage import BYTES_PER_TOKEN, EVENT_BYTES, Usage, UsageReader

START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "model": "claude-opus-4-6",
        "usage": {
            "input_tokens": 11,
            "output_tokens": 1,
            "cache_read_input_tokens": 500,
            "cache_creation_input_tokens": 70,
            "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40},
            "server_tool_use": None,
        },
    },
}
LAST = {"output_tokens": 42, "server_tool_use": {"web_search_requests": 2}}
END = {"type": "message_delta", "delta": {}, "usage": LAST}


def event(value: dict[str, Any], end: str = "\n") -> bytes:
    return f"event: {value['type']}{end}data: {json.dumps(value)}{end}{end}".encode()


def delta(text: str, kind: str = "text") -> bytes:
    return event({"type": "content_block_delta", "index": 0, "delta": {"type": f"{kind}_delta", kind: text}})


def reader() -> UsageReader:
    return UsageReader("text/event-stream; charset=utf-8")


STREAM = event(START) + event({"type": "ping"}) + delta("Hello") + delta("é\n\n世界", "thinking") + event(END)
WHOLE = Usage(input=11, output=42, cache_read=500, cache_write_5m=30, cache_write_1h=40, searches=2)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12), ends=st.sampled_from(["\n", "\r\n"]))
def test_a_stream_is_read_the_same_however_it_is_cut(cuts: list[int], ends: str) -> None:
    stream = STREAM.replace(b"\n", ends.encode())
    found = reader()
    places = [0, *sorted(cuts), len(stream)]
    for start, end in pairwise(places):
        found.feed(stream[start:end])
    assert found.usage == WHOLE
    assert (found.model, found.began, found.ended) == ("claude-opus-4-6", True, True)


def test_tokens_are_estimated_between_the_usage_events_and_put_right_by_the_last_one() -> None:
    found = reader()
    assert found.feed(event(START))
    assert found.usage.output == 1
    for _ in range(10):
        found.feed(delta("x"))
    assert found.usage.output == 10
    found.feed(delta("x" * 300, "partial_json"))
    assert found.usage.output == 10 + 300 // BYTES_PER_TOKEN
    assert found.feed(event(END))
    assert found.usage == WHOLE


def test_an_estimate_never_counts_fewer_than_one_token_a_delta() -> None:
    found = reader()
    for _ in range(7):
        found.feed(delta(""))
    assert found.usage.output == 7


def test_the_boundary_is_behind_the_last_whole_event() -> None:
    found = reader()
    first, half = delta("a"), delta("b")[:20]
    chunks = (first + half, delta("b")[20:-1], b"\n" + half)
    places = []
    for chunk in chunks:
        found.feed(chunk)
        places.append(found.boundary)
    assert places == [len(first), None, 1]


def test_memory_is_bounded_and_an_endless_event_is_estimated_by_its_length() -> None:
    found = reader()
    for _ in range(40):
        found.feed(b"data: " + b"x" * 100_000)
    assert len(found._line) + len(found._data) <= EVENT_BYTES + 100_006
    found.feed(b"\n\n")
    assert found.usage.output >= 4_000_000 // BYTES_PER_TOKEN
    found.feed(event(START) + event(END))
    assert found.usage == WHOLE


def test_many_data_lines_are_one_event_and_bounded_too() -> None:
    found = reader()
    for _ in range(100):
        found.feed(b"data: " + b"[" * 10_000 + b"\n")
    assert len(found._data) <= EVENT_BYTES
    found.feed(b"\n")
    found.feed(event(START) + event(END))
    assert found.usage.output == 42


@pytest.mark.parametrize(
    "bad",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b'data: {"type":"message_start","message":7}\n\n',
        b'data: {"type":"message_start","message":{"usage":[]}}\n\n',
        b'data: {"type":"message_delta","usage":{"output_tokens":-5}}\n\n',
        b'data: {"type":"message_delta","usage":{"output_tokens":1e99}}\n\n',
        b'data: {"type":"message_delta","usage":{"output_tokens":true,"server_tool_use":3}}\n\n',
        b'data: {"type":"content_block_delta","delta":null}\n\n',
        b"\x00\xff\n\n: comment\n\nid: 3\n\n",
    ],
)
def test_nonsense_is_borne_and_counts_nothing_below_zero(bad: bytes) -> None:
    found = reader()
    found.feed(bad)
    assert found.usage.output >= 0
    assert found.usage.input == 0


@pytest.mark.parametrize("output", [None, -5, 2_000_000_000, "42", 4.5, True])
def test_a_last_event_without_a_count_leaves_the_guess(output: Any) -> None:
    found = reader()
    found.feed(event(START) + delta("x" * 300))
    found.feed(event({"type": "message_delta", "delta": {}, "usage": {"output_tokens": output}}))
    assert (found.usage.output, found.ended, found.usage.estimated) == (100, False, True)
    whole = UsageReader("application/json")
    whole.feed(json.dumps({"usage": {"input_tokens": 9, "output_tokens": output}}).encode() + b" " * 3000)
    whole.end()
    assert whole.usage.estimated
    assert whole.usage.output >= 1000


def test_a_first_event_without_a_count_has_not_begun() -> None:
    found = reader()
    for bad in ({}, {"input_tokens": -1}, {"input_tokens": 2_000_000_000}):
        found.feed(event({"type": "message_start", "message": {"model": "m", "usage": bad}}))
        assert not found.began


def test_an_event_that_comes_twice_counts_once() -> None:
    found = reader()
    found.feed(event(START) * 2 + delta("Hello") + event(END) * 3)
    assert found.usage == WHOLE


def test_what_the_api_did_besides_is_counted_with_the_model_that_did_it() -> None:
    """As its reference shows it: the sums leave out what made a conversation shorter, and an advisor's tokens."""
    found = reader()
    found.feed(event(START))
    iterations: list[Any] = [
        {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3500},
        {"type": "message", "input_tokens": 11, "output_tokens": 40},
        {"type": "advisor_message", "model": "claude-haiku-4-5", "input_tokens": 823, "output_tokens": 1612},
        {"type": "advisor_message", "model": 7, "input_tokens": -1, "output_tokens": "x"},
        7,
    ]
    found.feed(event({"type": "message_delta", "delta": {}, "usage": {**LAST, "iterations": iterations}}))
    assert found.usage.besides == (
        ("", Usage(input=180_000, output=3500)),
        ("claude-haiku-4-5", Usage(input=823, output=1612)),
        ("", Usage()),
    )
    counts = found.usage.counts()
    assert (counts["input"], counts["output"]) == (11 + 180_000 + 823, 42 + 3500 + 1612)
    opus = price(5, 25)
    own = (11 + 180_000) * 5000 + (42 + 3500) * 25_000 + 500 * 500 + 30 * 6250 + 40 * 10_000 + 2 * USD // 100
    assert Prices().cost(found.usage, opus) == own + 823 * 1000 + 1612 * 5000
    found.feed(event({"type": "message_delta", "delta": {}, "usage": {**LAST, "iterations": {}}}))
    assert found.usage == WHOLE


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_answer_that_is_no_stream_tells_its_usage_at_its_end(size: int) -> None:
    content = [{"type": "text", "text": "x" * 3000}]
    body = json.dumps({"type": "message", **START["message"], "content": content}).encode()
    found = UsageReader("application/json")
    for start in range(0, len(body), size):
        found.feed(body[start : start + size])
    assert found.usage.estimated
    found.end()
    assert found.usage == Usage(input=11, output=1, cache_read=500, cache_write_5m=30, cache_write_1h=40)


def test_what_tells_no_usage_is_estimated_by_its_length() -> None:
    found = UsageReader("text/plain")
    found.feed(b"x" * 900)
    found.end()
    assert found.usage == Usage(output=300, estimated=True)


def test_a_fast_answer_and_one_kept_in_the_us_cost_more() -> None:
    found = reader()
    usage = {"output_tokens": 3, "speed": "fast", "inference_geo": "us"}
    found.feed(event({"type": "message_delta", "usage": usage}))
    assert found.usage.factor == pytest.approx(6.6)
