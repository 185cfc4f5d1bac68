"""The assistant's message out of frames."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from container.protocol import encode, stamp
from gateway.model import Mode, Run, RunState
from gateway.runs.recording.transcript import Transcript
from gateway.web.request.bodies import json_response
from gateway.web.sessions import message_json

RUN = Run(
    id="r1",
    session="s1",
    owner="ada",
    message="m1",
    state=RunState.RUNNING,
    mode=Mode.AGENT,
    cwd="/workspace",
    created_at=0,
)


def lines(*frames: dict[str, Any], first: int = 1) -> bytes:
    stamped = [stamp(encode(frame), "r1", first + at) for at, frame in enumerate(frames)]
    return b"".join(line + b"\n" for line in stamped)


def test_text_and_tools_become_parts_in_their_order() -> None:
    transcript = Transcript()
    transcript.feed(
        lines(
            {"type": "run"},
            {"type": "session-init", "sessionId": "sdk"},
            {"type": "text-delta", "text": "a"},
            {"type": "text-delta", "text": "b"},
            {"type": "tool-start", "id": "t", "name": "Write", "input": {"x": 1}},
            {"type": "tool-result", "id": "t", "name": "Write", "output": "ok"},
            {"type": "text-delta", "text": "c"},
            {"type": "done", "sessionId": "sdk2", "fullText": "abc", "usage": {"n": 1}, "costUsd": 0.5},
        )
    )
    assert not transcript.reason
    transcript.feed(lines({"type": "process-exit", "exitCode": 0, "reason": "completed"}, first=9))
    message = transcript.message(RUN, now=5.0)
    assert (transcript.state, transcript.last, message.content) == (RunState.COMPLETED, 9, "abc")
    assert message.parts == (
        {"type": "text", "text": "ab"},
        {"type": "tool", "id": "t", "name": "Write", "input": {"x": 1}, "output": "ok"},
        {"type": "text", "text": "c"},
    )
    assert message.meta == {"sdkSessionId": "sdk2", "usage": {"n": 1}, "costUsd": 0.5, "reason": "completed"}


def test_what_is_said_of_budgets_is_kept_and_the_agents_error_behind_it_is_not() -> None:
    transcript = Transcript()
    near = [{"type": "budget", "text": text} for text in ("near", 7, "x" * 1000, *"abcdef")]
    over = {"type": "error", "error": "It is used up.", "code": "budget-exceeded"}
    transcript.feed(
        lines(
            {"type": "run"},
            {"type": "error", "error": "first", "code": "agent-error"},
            *near,
            over,
            {"type": "error", "error": "API Error: 402", "code": "agent-error"},
            {"type": "process-exit", "exitCode": 1, "reason": "failed"},
        )
    )
    meta = transcript.message(RUN, now=5.0).meta
    assert meta["budget"] == ["near", "x" * 300, "a", "b"]
    assert meta["error"] == {"error": "It is used up.", "code": "budget-exceeded"}


def test_the_message_is_the_same_whoever_makes_it() -> None:
    frames = [{"type": "text-delta", "text": str(number)} for number in range(9)]
    whole, pieces = Transcript(), Transcript()
    whole.feed(lines(*frames))
    for at, frame in enumerate(frames):
        pieces.feed(lines(frame, first=at + 1))
    assert whole.message(RUN, now=1) == pieces.message(RUN, now=1)
    assert whole.message(RUN, now=1).id == "r1-a"


def test_an_answer_that_was_not_streamed_is_taken_from_done() -> None:
    transcript = Transcript()
    transcript.feed(lines({"type": "done", "fullText": "all at once"}))
    assert transcript.message(RUN, now=1).content == "all at once"


def test_a_tool_that_did_not_end_has_no_output() -> None:
    transcript = Transcript()
    transcript.feed(lines({"type": "tool-start", "id": "t", "name": "Bash", "input": {}}))
    transcript.feed(lines({"type": "process-exit", "exitCode": None, "reason": "lost"}, first=2))
    assert transcript.message(RUN, now=1).parts[0]["output"] is None
    assert transcript.state is RunState.LOST


def test_an_unknown_reason_is_a_failure() -> None:
    transcript = Transcript()
    transcript.feed(lines({"type": "process-exit", "exitCode": 1, "reason": "exploded"}))
    assert transcript.state is RunState.FAILED


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"type":"text-delta"}\n', b"[]\n"])
def test_what_is_no_frame_of_a_run_is_refused(line: bytes) -> None:
    with pytest.raises((ValueError, KeyError, AttributeError)):
        Transcript().feed(line)


def test_text_that_only_lenient_parsers_take_is_made_harmless() -> None:
    transcript = Transcript()
    transcript.feed(b'{"type":"text-delta","text":"a\\ud83db","run":"r1","seq":1}\n')
    transcript.feed(
        b'{"type":"tool-start","id":"t","name":"X","input":{"n":1e999,"m":1.5},"run":"r1","seq":2}\n'
    )
    message = transcript.message(RUN, now=1)
    assert message.content == "a?b"
    assert message.parts[1]["input"] == {"n": "1e999", "m": 1.5}
    assert transcript.last == 2


WHOLE = {"plain": 2**53 + 1, "long": 2**63, "longer": 2**64, "less": -(2**63) - 1, "longest": 10**308}


@pytest.mark.parametrize("name", ["X", "half \ud83d"], ids=["strict", "lenient"])
def test_whole_numbers_of_a_tool_s_input_are_shown_as_they_were_said(name: str) -> None:
    transcript = Transcript()
    frame = {"type": "tool-start", "id": "t", "name": name, "input": WHOLE}
    transcript.feed(json.dumps({**frame, "run": "r1", "seq": 1}).encode())
    answered = json_response(message_json(transcript.message(RUN, now=1))).body
    assert isinstance(answered, bytes)
    assert json.loads(answered)["parts"][0]["input"] == WHOLE


@pytest.mark.parametrize("digits", [310, 5000])
def test_a_whole_number_beyond_a_double_s_range_is_text(digits: int) -> None:
    transcript = Transcript()
    number = b"1" * digits
    transcript.feed(b'{"type":"tool-start","id":"t","input":[%s],"run":"r1","seq":1}' % number)
    assert transcript.message(RUN, now=1).parts[0]["input"] == [number.decode()]


def test_a_message_keeps_so_much_and_says_that_there_was_more() -> None:
    transcript = Transcript()
    for at in range(6):
        transcript.feed(lines({"type": "text-delta", "text": "x" * 1024 * 1024}, first=at + 1))
    transcript.feed(lines({"type": "process-exit", "exitCode": 0, "reason": "completed"}, first=7))
    message = transcript.message(RUN, now=1)
    assert len(message.content) == 3 * 1024 * 1024
    assert message.meta["truncated"] is True
    assert transcript.state is RunState.COMPLETED


def test_an_sdk_session_that_no_query_could_carry_is_left_out() -> None:
    transcript = Transcript()
    transcript.feed(lines({"type": "session-init", "sessionId": "thread:1"}))
    assert "sdkSessionId" not in transcript.message(RUN, now=1).meta


def nested(levels: int) -> Any:
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return value


def test_values_are_cut_to_levels_that_every_writer_of_json_takes() -> None:
    transcript = Transcript()
    transcript.feed(
        lines(
            {"type": "tool-start", "id": "t", "name": "X", "input": {"ok": nested(63), "deep": nested(600)}},
            {"type": "tool-result", "id": "t", "name": "X", "output": nested(600)},
            {"type": "error", "error": nested(600), "code": "x"},
            {"type": "done", "usage": nested(600)},
        )
    )
    message = transcript.message(RUN, now=1)
    assert message.parts[0]["input"]["ok"] == nested(63)
    assert orjson.loads(orjson.dumps(message_json(message)))["parts"] == list(message.parts)


def meta_of(**done: Any) -> dict[str, Any]:
    transcript = Transcript()
    transcript.feed(lines({"type": "done", **done}))
    return transcript.message(RUN, now=1).meta


@pytest.mark.parametrize("cost", [0, 0.25, 1_000_000])
def test_a_cost_that_can_be_one_is_kept(cost: float) -> None:
    assert meta_of(costUsd=cost)["costUsd"] == cost


@pytest.mark.parametrize("cost", [-0.01, -1e308, 1e308, 10**300, True, "1", [1], {"usd": 1}])
def test_a_cost_that_can_be_none_is_left_out(cost: Any) -> None:
    assert "costUsd" not in meta_of(costUsd=cost)


def test_a_cost_beyond_any_number_is_left_out() -> None:
    transcript = Transcript()
    transcript.feed(b'{"type":"done","costUsd":1e999,"run":"r1","seq":1}\n')
    assert transcript.message(RUN, now=1).meta == {"reason": ""}


def test_usage_as_the_api_tells_it_is_kept() -> None:
    usage = {
        "input_tokens": 4,
        "output_tokens": 812,
        "cache_creation": {"ephemeral_5m_input_tokens": 0},
        "server_tool_use": None,
        "service_tier": "standard",
        "iterations": [],
    }
    assert meta_of(usage=usage)["usage"] == usage


@pytest.mark.parametrize(
    "usage",
    [
        {"output_tokens": -5},
        {"output_tokens": 10**15},
        {"cache": {"tokens": -1}},
        {"list": [1, -1]},
        {"text": "x" * 101},
        {"x" * 101: 1},
        {str(number): number for number in range(65)},
        {"deep": [[[[[1]]]]]},
        [1],
        7,
        "many",
    ],
)
def test_usage_that_can_be_none_is_left_out(usage: Any) -> None:
    assert "usage" not in meta_of(usage=usage)


@pytest.mark.parametrize("reason", ["exploded", "x" * 200_000, ["completed"], None])
def test_a_reason_is_one_of_the_protocol_s(reason: Any) -> None:
    transcript = Transcript()
    transcript.feed(lines({"type": "process-exit", "exitCode": 1, "reason": reason}))
    assert (transcript.state, transcript.reason) == (RunState.FAILED, "failed")


class Unwalked(list[Any]):
    """Parts that nobody may walk through."""

    def __iter__(self) -> Any:
        raise AssertionError("a frame costs as much as there are parts")


@pytest.mark.parametrize("before", ["tool-start", "text-delta"])
def test_an_answers_end_costs_the_same_however_many_parts_came_before_it(before: str) -> None:
    transcript = Transcript()
    transcript.feed(lines({"type": before, "text": "a", "id": "t"}, {"type": "tool-start", "id": "u"}))
    parts = transcript._parts
    transcript._parts = Unwalked(parts)
    for seq in range(3, 6):
        transcript.feed(lines({"type": "done", "fullText": f"whole {seq}"}, first=seq))
    transcript._parts = parts
    said = "a" if before == "text-delta" else "whole 3"
    assert transcript.message(RUN, now=1).content == said
