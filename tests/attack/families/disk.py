"""From within a sandbox, against the disk that all share: who writes too much is ended, is told, and may clean up."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.attack.attack import Attack, Field, Found
from tests.attack.families.hostile import stored_in
from tests.attack.scene import AttackError, Quota
from tests.chaos.reader import WebSocketReader

ENDED_SECONDS = 90.0
ANSWER_SECONDS = 60.0
SNAPSHOT_SECONDS = 110.0

TOLD = ["disk-quota", "disk-quota", "lost"]
"""Of the last three frames of its run: the error's code, why the sandbox was lost, how the run ended."""

LOG_MIB, LOG_MOST_MIB = 80, 21

FLOOD = f"f = open('/proc/1/fd/1', 'wb', 0)\nfor _ in range({LOG_MIB} << 10): f.write(b'x' * 1023 + b'\\n')"
"""Into the log of the container, which the agent server's own output is."""

Program = Callable[[Quota], str]


def _filler(quota: Quota) -> str:
    """As fast as the disk takes it; the program's own end is far beyond the quota, and bounded."""
    return f"f = open('/workspace/big', 'wb', 0)\nfor _ in range({quota.mb} * 4): f.write(bytes(1 << 20))"


def _sparse(quota: Quota) -> str:
    """Files that seem larger than the disk, and count for nothing; then one of that much."""
    holes = "for n in range(100): open('/workspace/sparse%d' % n, 'wb').truncate(4 << 40)\n"
    return holes + _filler(quota)


def _many(quota: Quota) -> str:
    names = "import os\nos.mkdir('/workspace/d')\n"
    return f"{names}for n in range({quota.inodes} * 4): os.close(os.open('/workspace/d/%d' % n, os.O_CREAT))"


def _links(quota: Quota) -> str:
    """Names of one file: no inodes of the disk's, and each takes its time to count."""
    names = "import os\nos.mkdir('/workspace/d')\nopen('/workspace/d/f', 'w').close()\n"
    more = (
        f"for n in range(min(60_000, {quota.inodes} * 4)): os.link('/workspace/d/f', '/workspace/d/%d' % n)\n"
    )
    return names + more + _filler(quota)


def _deep(quota: Quota) -> str:
    """Folders within each other; then it is written to the disk, so that it is looked at."""
    folders = "import os\nos.chdir('/workspace')\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')\n"
    return folders + _filler(quota).replace("/workspace/", "")


async def overdone(field: Field, *, program: Program) -> Found:
    """A program of the agent's while it answers, in a session of the attacker's, whose workspace is then emptied."""
    quota = await field.scene.quota()
    async with field.session(warm=True) as session:
        reader = _reader(field, session, "count to 100000 every 20 ms")
        reading = asyncio.create_task(reader.read())
        try:
            async with asyncio.timeout(ENDED_SECONDS):
                await reader.known.wait()
                begun = time.monotonic()
                await field.scene.run_inside(session, program(quota), leave=True)
                history = await reading
        except TimeoutError:
            return Found("it went on", [f"was not ended within {ENDED_SECONDS:.0f} s"])
        finally:
            reading.cancel()
        took = time.monotonic() - begun
        told = [_why(json.loads(frame)) for frame in history.frames[-3:]]
        faults = [] if told == TOLD else [f"its session was told {told}"]
        disk = await _disk(field)
        if disk["low"] or disk["freeBytes"] <= disk["reserveBytes"]:
            faults.append("the disk has not kept its reserve")
        if not await _answered(field, session):
            faults.append("its next prompt, by which to clean up, was not answered")
        await field.api.call("DELETE", f"/api/sessions/{session}/files")
        if not await _answered(field, session):
            faults.append("it did not go on with an empty workspace")
    return Found(f"ended after {took:.1f} s and told so; went on, emptied, went on", faults)


async def log_flood(field: Field) -> Found:
    """By whoever has the agent server's output."""
    async with field.session(warm=True) as session:
        await field.scene.run_inside(session, FLOOD, user="0")
        kept = await field.scene.logged(session) / (1 << 20)
    faults = [f"{kept:.0f} MiB were kept"] if kept > LOG_MOST_MIB else []
    return Found(f"{LOG_MIB} MiB written, {kept:.0f} kept", faults)


async def snapshot_bomb(field: Field) -> Found:
    """A replaced agent server whose snapshot unpacks to a gigabyte, put away as idle as soon as may be."""
    quota = await field.scene.quota()
    if quota.idle_minutes > 1:
        raise AttackError("set idleMinutes of the stack to 1: a snapshot is taken of an idle sandbox")
    return await stored_in(field, SNAPSHOT_SECONDS)


def _reader(field: Field, session: str, prompt: str) -> WebSocketReader:
    message = f"m-{secrets.token_hex(8)}"
    return WebSocketReader(field.net, session, "attacker", prompt=prompt, message_id=message)


def _why(frame: dict[str, Any]) -> str:
    return str(frame.get("code") or frame.get("reason"))


async def _answered(field: Field, session: str) -> bool:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            history = await _reader(field, session, "echo here").read()
    except TimeoutError:
        return False
    return history.ended and json.loads(history.frames[-1])["reason"] == "completed"


async def _disk(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = (await field.api.call("GET", "/api/health"))["disk"]
    return found


def _agent(name: str, program: Program) -> Attack:
    return Attack("agent", f"the disk: {name}", "inside", partial(overdone, program=program))


ATTACKS = (
    _agent("filler", _filler),
    _agent("sparse files", _sparse),
    _agent("files without number", _many),
    _agent("names without number", _links),
    _agent("folders within each other", _deep),
    Attack("replaced server", "the disk: log flood", "inside", log_flood),
    Attack("replaced server", "the disk: snapshot bomb", "inside", snapshot_bomb),
)
