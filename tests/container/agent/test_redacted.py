"""Frames of an answer without secrets, frame by frame and across frames."""

from __future__ import annotations

import json
from typing import Any

from container.agent.lines import Line, agent_frame, stderr_frame
from container.agent.redacted import RedactedFrames
from container.protocol import MAX_BODY_BYTES
from container.redaction.redactor import Redactor
from tests.container.redaction.secret_samples import GITHUB, JWT, private_key

MARK = "[redacted: github-token]"


def frames() -> RedactedFrames:
    return RedactedFrames(Redactor({"hunter-two-2": "PASSWORD"}))


def take(redacted: RedactedFrames, *given: dict[str, Any] | bytes) -> list[dict[str, Any]]:
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in given]
    found = [frame for line in lines if (frame := agent_frame(Line(line, len(line)))) is not None]
    return [json.loads(body) for body in redacted.take(found)]


def text(piece: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text-delta", "text": piece, **fields}


def test_frames_without_secrets_keep_their_bytes() -> None:
    line = b'{"type": "text-delta", "text": "plain"}'
    frame = agent_frame(Line(line, len(line)))
    assert frame is not None
    assert frames().take([frame]) == [line]
    odd = b'{"type":  "tool-result", "output": "a", "n": 1.0}'
    frame = agent_frame(Line(odd, len(odd)))
    assert frame is not None
    assert frames().take([frame]) == [odd]


def test_a_secret_is_struck_across_deltas_of_one_read_and_of_many() -> None:
    pieces = [text(GITHUB[at : at + 7]) for at in range(0, len(GITHUB), 7)]
    assert take(frames(), text("it is "), *pieces, text(".")) == [text("it is "), text(MARK), text(".")]
    one_by_one = frames()
    shown = [frame for piece in (text("it is "), *pieces, text(".")) for frame in take(one_by_one, piece)]
    assert shown == [text("it is "), text(MARK), text(".")]


def test_what_is_held_back_comes_before_the_next_frame_of_another_kind() -> None:
    redacted = frames()
    assert take(redacted, text("is it ghp_")) == [text("is it ")]
    assert redacted.holds
    done = {"type": "done", "fullText": f"is it ghp_ or {GITHUB}"}
    assert take(redacted, done) == [text("ghp_"), {"type": "done", "fullText": f"is it ghp_ or {MARK}"}]
    assert not redacted.holds


def test_what_is_held_back_is_given_by_release_and_by_the_end() -> None:
    redacted = frames()
    take(redacted, text("ghp_"))
    assert [json.loads(body) for body in redacted.release()] == [text("ghp_")]
    take(redacted, text(" eyJ"))
    assert [json.loads(body) for body in redacted.end()] == [text("eyJ")]
    assert redacted.end() == []


def test_other_fields_of_a_piece_are_struck_and_kept() -> None:
    assert take(frames(), text("a", parentId="p", note=GITHUB)) == [text("a", parentId="p", note=MARK)]


def test_tool_calls_and_their_results_are_struck() -> None:
    start = {"type": "tool-start", "id": "1", "name": "Bash", "input": {"command": f"curl -H 'Bearer {JWT}'"}}
    result = {
        "type": "tool-result",
        "id": "1",
        "name": "Bash",
        "output": f"PASSWORD=hunter-two-2\n{GITHUB[:20]}…",
    }
    assert take(frames(), start, result) == [
        {**start, "input": {"command": "curl -H 'Bearer [redacted: jwt]'"}},
        {**result, "output": "PASSWORD=[redacted: PASSWORD]\n[redacted: secret]…"},
    ]


def test_a_key_over_lines_of_stderr_is_struck_as_one() -> None:
    redacted = frames()
    lines = [line.encode() for line in ["before", *private_key().split("\n"), "behind"]]
    bodies = [body for line in lines for body in redacted.take_stderr([stderr_frame(Line(line, len(line)))])]
    assert [json.loads(body)["text"] for body in bodies] == ["before", "[redacted: private-key]", "behind"]


def test_stderr_between_two_deltas_does_not_part_them() -> None:
    redacted = frames()
    shown = take(redacted, text(GITHUB[:9]))
    shown += [json.loads(body) for body in redacted.take_stderr([stderr_frame(Line(b"warning", 7))])]
    shown += take(redacted, text(GITHUB[9:] + "!"))
    assert shown == [{"type": "stderr", "text": "warning"}, text(MARK + "!")]


def test_a_line_that_is_no_frame_is_struck() -> None:
    assert take(frames(), f"export TOKEN={GITHUB}".encode()) == [
        {"type": "stderr", "text": f"export TOKEN={MARK}"}
    ]


def test_a_secret_at_the_cut_of_a_long_frame_is_struck_before_it_is_cut() -> None:
    long = {"type": "tool-result", "output": "x " * (MAX_BODY_BYTES // 4) + GITHUB + " y" * MAX_BODY_BYTES}
    [frame] = take(frames(), long)
    assert frame["truncated"]
    assert "ghp_" not in json.dumps(frame)


def test_strikes_that_are_longer_than_secrets_keep_a_frame_within_its_limit() -> None:
    redacted = RedactedFrames(Redactor({"abcd1234": "A_NAME_THAT_IS_RATHER_LONG"}))
    line = json.dumps(text("abcd1234" * (MAX_BODY_BYTES // 9), more=1)).encode()
    frame = agent_frame(Line(line, len(line)))
    assert frame is not None
    [body] = redacted.take([frame])
    assert len(body) <= MAX_BODY_BYTES
    assert json.loads(body)["truncated"]


def test_empty_pieces_are_frames_as_before() -> None:
    assert take(frames(), text("")) == [text("")]


def test_without_a_redactor_all_is_as_it_is() -> None:
    redacted = RedactedFrames(None)
    assert take(redacted, text(GITHUB)) == [text(GITHUB)]
    assert not redacted.holds
    assert redacted.release() == redacted.end() == []
