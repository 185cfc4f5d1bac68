"""Which messages the loop does not take by itself: those of many parts, and none that agents send all the time."""

from __future__ import annotations

import pytest

from container.protocol import MAX_BATCH_BYTES
from gateway.runs.recording.judge import is_heavy
from tests.gateway.fakes import line

HEAVY = {
    "arrays": b"[]," * 5000,
    "objects": b"{}," * 5000,
    "members": b'"a":1,' * 5000,
    "numbers": b"0," * 5000,
    "towers": (b"[" * 190 + b"]" * 190) * 30,
    "many to a line": b"\n".join([b"[]," * 100] * 50),
}
LIGHT = {
    "a batch of text": b"\n".join(line(seq, text=" word") for seq in range(2000)),
    "a batch of tool calls": b"\n".join(
        line(seq, "tool-start", id="t", name="Read", input={"file": "a.py", "limit": 3})
        for seq in range(2000)
    ),
    "a long text": line(2, text="Well, it is so; and so on. " * (MAX_BATCH_BYTES // 100)),
    "nothing": b"",
}


@pytest.mark.parametrize("message", HEAVY.values(), ids=HEAVY.keys())
def test_many_parts_are_heavy(message: bytes) -> None:
    assert is_heavy(message)


@pytest.mark.parametrize("message", LIGHT.values(), ids=LIGHT.keys())
def test_what_agents_send_is_not(message: bytes) -> None:
    assert not is_heavy(message)
