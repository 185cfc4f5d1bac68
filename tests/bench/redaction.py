"""What looking for secrets costs the agent server: CPU time from an agent's bytes to its frame log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from container.agent.lines import LineFramer, agent_frame
from container.agent.redacted import RedactedFrames
from container.redaction.redactor import Redactor
from container.runs.framelog import FrameLog

READ_BYTES: Final = 64 * 1024
"""What is read of a pipe at once, where an agent writes as fast as it can."""

WORDS: Final = (
    "The",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "the",
    "lazy",
    "dog,",
    "and",
    "says:",
    "hello!",
)
LINES: Final = [json.dumps({"type": "text-delta", "text": f" {word}" * 4}).encode() + b"\n" for word in WORDS]

KNOWN: Final = {f"a-secret-value-{number}": f"NAME_{number}" for number in range(4)}

WAYS: Final[dict[str, Callable[[], Redactor | None]]] = {
    "not redacted": lambda: None,
    "redacted": lambda: Redactor(KNOWN),
}


def microseconds_a_line(folder: Path, lines: int, *, at_once: bool, redactor: Redactor | None) -> float:
    """CPU time of this process. `at_once`: as many lines a read as come in 64 KiB, else one."""
    frames, framer = RedactedFrames(redactor), LineFramer()
    log = FrameLog(folder / f"bench-{time.monotonic_ns()}.jsonl", "bench")
    begun = time.process_time()
    for chunk in _reads(lines, at_once=at_once):
        texts = framer.feed_texts(chunk)
        if texts is not None and frames.pass_on(texts.text):
            log.append(texts.bodies)
            continue
        came = framer.feed(chunk) if texts is None else texts.lines
        log.append(frames.take([frame for line in came if (frame := agent_frame(line)) is not None]))
    took = time.process_time() - begun
    log.delete()
    return took / lines * 1e6


def _reads(lines: int, *, at_once: bool) -> Iterator[bytes]:
    if not at_once:
        for number in range(lines):
            yield LINES[number % len(LINES)]
        return
    whole = b"".join(LINES[number % len(LINES)] for number in range(lines))
    for start in range(0, len(whole), READ_BYTES):
        yield whole[start : start + READ_BYTES]
