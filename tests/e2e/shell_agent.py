"""An agent that runs each prompt as a shell command and answers with its output; tests put it into an image."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SECONDS = 240


def send(frame: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(frame) + "\n")
    sys.stdout.flush()


def main() -> None:
    for line in sys.stdin:
        query = json.loads(line)
        done = subprocess.run(
            ["sh", "-c", query["prompt"]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        text = f"{done.stdout[-4000:]}\nstatus {done.returncode}"
        send({"type": "text-delta", "text": text})
        send({"type": "done", "sessionId": "shell", "fullText": text, "usage": {}, "costUsd": 0})
        return


if __name__ == "__main__":
    main()
