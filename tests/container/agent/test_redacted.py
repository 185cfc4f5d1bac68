"""Frames of an answer without secrets, frame by frame and across frames."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from container.agent.lines import Line, agent_frame, stderr_frame
from container.agent.redacted import MOST_TEXTS, RedactedFrames
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
    assert redacted.held_since
    done = {"type": "done", "fullText": f"is it ghp_ or {GITHUB}"}
    assert take(redacted, done) == [text("ghp_"), {"type": "done", "fullText": f"is it ghp_ or {MARK}"}]
    assert not redacted.held_since


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
    assert not redacted.held_since
    assert redacted.release() == redacted.end() == []


def joined(shown: list[dict[str, Any]], **fields: Any) -> str:
    wanted = text("", **fields).items()
    return "".join(one["text"] for one in shown if dict(wanted, text=one.get("text")).items() == one.items())


def test_frames_between_the_deltas_of_a_secret_wait_and_keep_their_places() -> None:
    redacted = frames()
    shown = take(redacted, text("it is "))
    for number, at in enumerate(range(0, len(GITHUB), 7)):
        shown += take(redacted, text(GITHUB[at : at + 7]), {"type": "usage", "n": number})
    shown += take(redacted, text(" and"), {"type": "tool-start", "id": "1", "input": {}}, text(" so on"))
    assert joined(shown) == f"it is {MARK} and so on"
    others = [one.get("n", one["type"]) for one in shown if one["type"] != "text-delta"]
    assert others == [*range(6), "tool-start"]
    assert shown.index({"type": "usage", "n": 5}) < shown.index(text(" and"))


def test_what_waits_is_shown_between_what_was_held_back_and_the_rest() -> None:
    redacted = frames()
    assert take(redacted, text("is it ghp_"), {"type": "usage"}) == [text("is it ")]
    assert take(redacted, text("? no")) == [text("ghp_"), {"type": "usage"}, text("? no")]
    assert not redacted.held_since


def test_what_waits_is_given_by_release_and_what_completes_a_secret_then_is_struck() -> None:
    redacted = frames()
    assert take(redacted, text(GITHUB[:9]), {"type": "usage"}) == []
    assert [json.loads(body) for body in redacted.release()] == [text(GITHUB[:9]), {"type": "usage"}]
    shown = take(redacted, {"type": "usage"}, text(GITHUB[9:]), text(" so"))
    assert shown == [{"type": "usage"}, text(MARK), text(" so")]


def test_no_more_waits_than_there_is_room_for() -> None:
    redacted = frames()
    take(redacted, text("ghp_"))
    big = {"type": "tool-result", "output": "x" * 200_000}
    shown = take(redacted, *[big] * 7)
    assert shown[0] == text("ghp_")
    assert len(shown) == 1 + 7
    assert not redacted.held_since


def test_an_answer_s_end_waits_for_nothing() -> None:
    for last in ({"type": "done"}, {"type": "error", "error": "x"}):
        redacted = frames()
        assert take(redacted, text("ghp_"), {"type": "usage"}, last) == [
            text("ghp_"),
            {"type": "usage"},
            last,
        ]


def test_texts_of_several_agents_are_followed_each_by_itself() -> None:
    redacted = frames()
    shown = []
    for at in range(0, len(GITHUB), 5):
        for fields in ({}, {"parentId": "a"}, {"parentId": "b"}):
            shown += take(redacted, text(GITHUB[at : at + 5], **fields))
    shown += [json.loads(body) for body in redacted.end()]
    assert [joined(shown), joined(shown, parentId="a"), joined(shown, parentId="b")] == [MARK] * 3


def test_so_many_texts_are_followed_and_nothing_of_the_others_is_lost() -> None:
    redacted = frames()
    parents = [f"p{number}" for number in range(3 * MOST_TEXTS)]
    shown = [one for parent in parents for one in take(redacted, text("ghp_", parentId=parent))]
    shown += [json.loads(body) for body in redacted.end()]
    assert sorted(one["parentId"] for one in shown) == sorted(parents)
    assert {one["text"] for one in shown} == {"ghp_"}


def test_pieces_of_other_kinds_are_texts_too() -> None:
    redacted = frames()
    pieces = [{"type": "thinking-delta", "text": GITHUB[at : at + 7]} for at in range(0, len(GITHUB), 7)]
    shown = [one for piece in pieces for one in take(redacted, piece)]
    assert shown == [{"type": "thinking-delta", "text": MARK}]


def test_what_comes_beside_it_makes_nothing_wait_longer() -> None:
    redacted = frames()
    take(redacted, text("ghp_"))
    since = redacted.held_since
    assert since
    for number in range(3):
        line = f"line {number}".encode()
        assert redacted.take_stderr([stderr_frame(Line(line, len(line)))])
        take(redacted, f"no frame {number}".encode())
        assert redacted.held_since == since
    take(redacted, text("! ghp_"))
    assert redacted.held_since > since


@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 2)), max_size=40), st.booleans())
@settings(max_examples=150, deadline=None)
def test_however_it_is_spread_no_secret_is_shown(pieces: list[tuple[int, int]], with_stderr: bool) -> None:
    """`pieces`: how long each is, and how many frames of another kind follow it."""
    secret = f"see {GITHUB}, hunter-two-2 and {JWT} ."
    redacted, shown, at, sent = frames(), [], 0, 0
    for size, others in [*pieces, (len(secret), 0)]:
        shown += take(redacted, text(secret[at : at + size]))
        at += size
        for _ in range(others):
            shown += take(redacted, {"type": "usage", "n": sent})
            sent += 1
        if with_stderr:
            redacted.take_stderr([stderr_frame(Line(b"x", 1))])
    shown += [json.loads(body) for body in redacted.end()]
    assert joined(shown) == f"see {MARK}, [redacted: PASSWORD] and [redacted: jwt] ."
    assert [one["n"] for one in shown if one["type"] == "usage"] == list(range(sent))
