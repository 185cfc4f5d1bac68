"""Frames of text that are taken together: what one by one would have been kept, told and refused, and nothing else."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from container.protocol import encode, stamp
from container.redaction.redactor import Redactor
from gateway import errors
from gateway.runs.recording import intake, texts, transcript
from gateway.runs.recording.intake import Intake
from gateway.runs.recording.texts import TextFrames
from gateway.runs.recording.transcript import Transcript
from tests.container.redaction.secret_samples import GITHUB
from tests.gateway.fakes import RUN, a_run, line

FIRST = line(1, "run")
KNOWN = "hunter-two-2"


def plain(first: int, count: int = 8) -> list[bytes]:
    return [line(seq, text=f" word {seq}") for seq in range(first, first + count)]


def outcome(messages: list[bytes], redactor: Redactor | None = None) -> tuple[object, ...]:
    """All that can be told of an intake from outside, behind these messages."""
    said = Transcript()
    one = Intake(said, RUN)
    one.redactor = said.redactor = redactor
    refused = ""
    try:
        for message in messages:
            one.take(message)
    except (errors.SandboxFaulty, errors.RunTooLarge) as error:
        refused = str(error)
    told = said.message(a_run(), now=1.0)
    return (
        refused,
        b"".join(one.frames),
        said.last,
        said.kind,
        said.state,
        told.content,
        told.parts,
        told.meta,
    )


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[bytes]], tuple[object, ...]]:
    """The outcome where nothing is taken together."""

    def found(messages: list[bytes], redactor: Redactor | None = None) -> tuple[object, ...]:
        with monkeypatch.context() as patched:
            patched.setattr(texts, "LEAST_LINES", 1 << 60)
            return outcome(messages, redactor)

    return found


def test_text_is_read_together() -> None:
    read = TextFrames(RUN).read(b"\n".join(plain(2)), 2)
    assert read is not None
    assert read.pieces == [f" word {seq}" for seq in range(2, 10)]
    assert read.size == sum(map(len, plain(2)))


def split_over(seq: int, body: bytes, rest: bytes) -> list[bytes]:
    """Two lines with the ends of two frames, of which neither is JSON: together they are two values."""
    tail = b'"run":"r1","seq":%d}'
    return [body + tail % seq, rest + tail % seq + b',{"type":"text-delta","text":"",' + tail % (seq + 1)]


ODD = {
    "a gap": [*plain(2, 4), *plain(7, 4)],
    "a frame that was there": [*plain(2, 4), *plain(5, 4)],
    "another run's": [
        *plain(2, 4),
        stamp(encode({"type": "text-delta", "text": "x"}), "r2", 6),
        *plain(7, 4),
    ],
    "a number with a zero before it": [*plain(2, 4), b'{"type":"text-delta","text":"","run":"r1","seq":06}'],
    "another kind": [*plain(2, 4), line(6, "tool-start", id="t", name="Bash", input={}), *plain(7, 4)],
    "a kind that servers write": [*plain(2, 4), line(6, "status"), *plain(7, 4)],
    "a kind that is a list": [*plain(2, 4), b'{"type":[],"text":"","run":"r1","seq":6}'],
    "no kind": [*plain(2, 4), b'{"text":"","run":"r1","seq":6}'],
    "text that is none": [*plain(2, 4), line(6, text=["x"]), *plain(7, 4)],
    "no text": [*plain(2, 4), line(6), *plain(7, 4)],
    "a field more": [*plain(2, 4), line(6, text="x", more=KNOWN), *plain(7, 4)],
    "half a surrogate pair": [
        *plain(2, 4),
        rb'{"type":"text-delta","text":"\ud83d","run":"r1","seq":6}',
        *plain(7),
    ],
    "escapes": [*plain(2, 4), rb'{"type":"text-delta","text":"\n\u00e9\"","run":"r1","seq":6}', *plain(7)],
    "a number that no double holds": [
        *plain(2, 4),
        line(6, text="x", n=1).replace(b":1,", b":1e999,"),
        *plain(7),
    ],
    "no JSON": [*plain(2, 4), b'{"type":"text-delta","text":oops,"run":"r1","seq":6}'],
    "no object": [*plain(2, 4), b'["run":"r1","seq":6}'],
    "two values in a line": [*plain(2, 4), b'{},{"type":"text-delta","text":"","run":"r1","seq":6}'],
    "noise": [*plain(2, 4), b'{"type":"ping"}', *plain(6, 4)],
    "an empty line": [*plain(2, 4), b"", *plain(6, 4)],
    "a long line": [*plain(2, 4), line(6, text="x" * 5000), *plain(7, 4)],
    "values over two lines, in an object": [
        *plain(2, 4),
        *split_over(6, b'{"type":"text-delta","text":{', b'"text":"",'),
        *plain(8, 4),
    ],
    "values over two lines, in a list": [
        *plain(2, 4),
        *split_over(6, b'{"type":"text-delta","text":[{', b'{}],"text":"",'),
        *plain(8, 4),
    ],
    "a secret": [*plain(2, 4), line(6, text=GITHUB), *plain(7, 4)],
    "a secret behind a letter of the frame before": [*plain(2, 4), line(6, text="x"), line(7, text=GITHUB)],
    "a known secret": [*plain(2, 4), line(6, text=f"it is {KNOWN}."), *plain(7, 4)],
    "a secret over frames": [*plain(2, 4), *(line(6 + n, text=GITHUB[5 * n : 5 * n + 5]) for n in range(8))],
}


@pytest.mark.parametrize("lines", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("redactor", [None, Redactor({KNOWN: "PASSWORD"})], ids=["plain", "redacting"])
def test_whatever_stands_among_text_is_judged_as_if_it_stood_alone(
    one_by_one: Callable[..., tuple[object, ...]], lines: list[bytes], redactor: Redactor | None
) -> None:
    messages = [FIRST, b"\n".join(lines)]
    assert outcome(messages, redactor) == one_by_one(messages, redactor)


def test_any_mixture_in_any_pieces_comes_to_the_same(one_by_one: Callable[..., tuple[object, ...]]) -> None:
    chance = random.Random(8)
    for _ in range(200):
        lines = [FIRST]
        while len(lines) < 60:
            seq = len(lines) + 1
            kind = chance.choices(["text-delta", "tool-result", "x"], [20, 1, 1])[0]
            text = chance.choice(["", "word", "é", "\\", KNOWN, GITHUB[: chance.randint(1, len(GITHUB))]])
            lines.append(line(seq, kind, text=text, **({"more": 1} if chance.random() < 0.02 else {})))
        messages = []
        while lines:
            size = chance.randint(1, 30)
            messages.append(b"\n".join(lines[:size]))
            lines = lines[size:]
        redactor = Redactor({KNOWN: "PASSWORD"})
        assert outcome(messages, redactor) == one_by_one(messages, redactor)


@pytest.mark.parametrize("over", range(-2, 700, 31))
def test_a_message_keeps_the_same_text_however_near_its_limit_is(
    one_by_one: Callable[..., tuple[object, ...]], monkeypatch: pytest.MonkeyPatch, over: int
) -> None:
    monkeypatch.setattr(transcript, "MAX_BYTES", sum(map(len, plain(2))) + over)
    messages = [FIRST, *(b"\n".join(plain(first)) for first in range(2, 34, 8))]
    assert outcome(messages) == one_by_one(messages)


@pytest.mark.parametrize("room", [0, 1, 2])
def test_a_run_takes_as_many_bytes(
    one_by_one: Callable[..., tuple[object, ...]], monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    messages = [FIRST, b"\n".join(plain(2))]
    monkeypatch.setattr(intake, "RUN_BYTES", sum(len(message) + 1 for message in messages) - 1 + room)
    assert outcome(messages) == one_by_one(messages)


def test_nothing_of_text_follows_a_lost_sandbox(one_by_one: Callable[..., tuple[object, ...]]) -> None:
    messages = [FIRST, line(2, "sandbox-lost", reason="oom"), b"\n".join(plain(3))]
    assert outcome(messages) == one_by_one(messages)
    assert re.search("behind `sandbox-lost`", str(outcome(messages)[0]))
