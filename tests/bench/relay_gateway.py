"""The gateway as it is deployed, but for its driver: every sandbox is at one port of this machine.

python -m tests.bench.relay_gateway PORT
"""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop

from gateway.config import read_settings
from gateway.serve import serve
from gateway.store.dynamo import DynamoStore
from tests.hostile import OneAddress, taken_as_known

if __name__ == "__main__":
    settings = read_settings(os.environ)
    driver = OneAddress(int(sys.argv[1]))
    with taken_as_known(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, store=DynamoStore(settings), driver=driver))
