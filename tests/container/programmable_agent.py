"""An agent for tests: a query's prompt is Python source, run with `send(frame)`, `raw(bytes)` and `query` at hand.

With `--kept` it says `ready` and stays; SIGINT raises KeyboardInterrupt in the prompt's code, as Python does by itself.
"""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any


def raw(data: bytes) -> None:
    """Write bytes to stdout as they are."""
    while data:
        data = data[os.write(1, data) :]


def send(frame: dict[str, Any]) -> None:
    """Write a frame."""
    raw(json.dumps(frame).encode() + b"\n")


def say(text: str) -> None:
    """Write a text frame."""
    send({"type": "text-delta", "text": text})


def main() -> None:
    """Answer queries until stdin ends."""
    kept = "--kept" in sys.argv
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if kept:
        send({"type": "ready"})
    tools = {
        "send": send,
        "raw": raw,
        "say": say,
        "os": os,
        "sys": sys,
        "time": time,
        "subprocess": subprocess,
    }
    for line in sys.stdin:
        query = json.loads(line)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            exec(query["prompt"], {**tools, "signal": signal, "query": query})
        except KeyboardInterrupt:
            say("(interrupted)")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if not kept:
            break
        send({"type": "ready"})


main()
