"""An agent that says as much as it is asked to, a line at a time, as fast as it can: `flood <count>`."""

import json
import os
import sys

LINE = json.dumps({"type": "text-delta", "text": "x" * 60}).encode() + b"\n"
READY = b'{"type":"ready"}\n'
INIT = b'{"type":"session-init","sessionId":"s"}\n'
DONE = (
    json.dumps({"type": "done", "sessionId": "s", "fullText": "", "usage": {}, "costUsd": 0}).encode() + b"\n"
)

if __name__ == "__main__":
    os.write(1, READY)
    for query in sys.stdin:
        os.write(1, INIT)
        for _ in range(int(json.loads(query)["prompt"].split()[1])):
            os.write(1, LINE)
        os.write(1, DONE)
        os.write(1, READY)
