"""SDK messages to frames, without the binary."""

from __future__ import annotations

from typing import Any

import pytest
from claude_agent_sdk import (
    AssistantMessage,
    Message,
    ResultMessage,
    StreamEvent,
    SystemMessage,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from container.agents.claude_frames import AnswerFrames


def event(kind: str, **fields: Any) -> StreamEvent:
    return StreamEvent(uuid="u", session_id="s", event={"type": kind, **fields})


def delta(text: str) -> StreamEvent:
    return event("content_block_delta", delta={"type": "text_delta", "text": text})


TEXT_BLOCK = event("content_block_start", content_block={"type": "text"})


def result(**fields: Any) -> ResultMessage:
    base: dict[str, Any] = {"subtype": "success", "duration_ms": 1, "duration_api_ms": 1, "num_turns": 1}
    return ResultMessage(**{**base, "session_id": "s", "is_error": False, **fields})


def frames_of(*messages: Message) -> list[dict[str, Any]]:
    frames = AnswerFrames("prompt-1")
    return [frame for message in messages for frame in frames.of(message)]


def test_the_session_is_told_once() -> None:
    init = SystemMessage(subtype="init", data={"session_id": "s"})
    assert frames_of(init, init) == [{"type": "session-init", "sessionId": "s"}]


def test_text_streams_and_is_not_said_again_when_its_message_is_whole() -> None:
    whole = AssistantMessage(content=[TextBlock(text="Hello you")], model="m")
    assert frames_of(event("message_start"), TEXT_BLOCK, delta("Hello "), delta("you"), whole) == [
        {"type": "text-delta", "text": "Hello "},
        {"type": "text-delta", "text": "you"},
    ]


def test_a_second_block_is_a_second_paragraph_and_full_text_is_what_was_streamed() -> None:
    got = frames_of(
        TEXT_BLOCK, delta("one"), TEXT_BLOCK, delta("two"), result(usage={"x": 1}, total_cost_usd=0.5)
    )
    assert [frame["text"] for frame in got[:2]] == ["one", "\n\ntwo"]
    assert got[2] == {
        "type": "done",
        "sessionId": "s",
        "fullText": "one\n\ntwo",
        "usage": {"x": 1},
        "costUsd": 0.5,
    }


def test_text_that_came_whole_is_said() -> None:
    local = AssistantMessage(content=[TextBlock(text="from a command")], model="<synthetic>")
    assert frames_of(local) == [{"type": "text-delta", "text": "from a command"}]
    assert frames_of(result(result="only here"))[0] == {"type": "text-delta", "text": "only here"}


def test_a_tool_call_and_its_result_cut_at_500_characters() -> None:
    call = AssistantMessage(content=[ToolUseBlock(id="t1", name="Bash", input={"command": "ls"})], model="m")
    parts = [{"type": "text", "text": "x" * 600}, {"type": "image"}]
    answer = UserMessage(content=[ToolResultBlock(tool_use_id="t1", content=parts, is_error=True)])
    start, end = frames_of(call, answer)
    assert start == {"type": "tool-start", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    assert end == {
        "type": "tool-result",
        "id": "t1",
        "name": "Bash",
        "output": "x" * 500 + "…",
        "isError": True,
    }


def test_a_subagents_tools_name_their_parent_and_its_text_stays_its_own() -> None:
    call = AssistantMessage(
        content=[TextBlock(text="inner"), ToolUseBlock(id="t2", name="Read", input={})],
        model="m",
        parent_tool_use_id="t1",
    )
    assert frames_of(call) == [
        {"type": "tool-start", "id": "t2", "name": "Read", "input": {}, "parentId": "t1"}
    ]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"api_error_status": 401, "result": "no"}, "model-key-refused"),
        ({"api_error_status": 529}, "model-overloaded"),
        ({"api_error_status": 429}, "model-overloaded"),
        ({"result": "Connection error."}, "model-unreachable"),
        ({"errors": ["odd"], "subtype": "error_max_turns"}, "agent-error"),
    ],
)
def test_a_failed_turn_says_what_to_do(fields: dict[str, Any], code: str) -> None:
    (frame,) = frames_of(result(is_error=True, **fields))
    assert (frame["type"], frame["code"]) == ("error", code)


def test_an_interrupted_turn_is_no_error() -> None:
    frames = AnswerFrames("p")
    assert frames.of(result(is_error=True, terminal_reason="aborted_streaming")) == []
    assert frames.is_finished


def test_the_end_of_a_background_tasks_turn_is_not_ours() -> None:
    frames = AnswerFrames("p")
    other = result()
    other.origin = {"kind": "task-notification"}
    assert frames.of(other) == []
    assert not frames.is_finished
    other.user_message_uuids = ["p"]
    assert frames.of(other)[-1]["type"] == "done"


def retry(attempt: int, status: int | None) -> SystemMessage:
    return SystemMessage(subtype="api_retry", data={"attempt": attempt, "error_status": status})


def test_retries_are_told_and_what_does_not_pass_is_told_once() -> None:
    frames = AnswerFrames("p")
    assert frames.of(retry(1, 529))[0]["type"] == "stderr"
    assert frames.of(retry(1, 401))[0]["code"] == "model-key-refused"
    assert frames.is_hopeless
    assert frames.of(retry(2, 401)) == []
    assert frames.of(result(is_error=True)) == []


def test_an_api_that_cannot_be_reached_is_told_after_some_attempts() -> None:
    frames = AnswerFrames("p")
    assert [frames.of(retry(n, None))[0]["type"] for n in (1, 2, 3)] == ["stderr"] * 3
    assert frames.of(retry(4, None))[0]["code"] == "model-unreachable"


def test_an_answer_costs_what_it_adds_to_the_total() -> None:
    first = AnswerFrames("p")
    [done] = first.of(result(total_cost_usd=0.5))
    second = AnswerFrames("p", first.total_cost)
    [again] = second.of(result(total_cost_usd=0.8))
    after_a_restart = AnswerFrames("p", second.total_cost)
    [fresh] = after_a_restart.of(result(total_cost_usd=0.1))
    assert (done["costUsd"], again["costUsd"], fresh["costUsd"]) == (0.5, 0.3, 0.1)
