"""The bridge between an MCP client on stdio and a server among the relay's peers."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from container.agents.mcp_relay import server_config
from container.web.app_keys import OCCUPANT
from tests.container.conftest import Sandbox


def environment(sandbox: Sandbox) -> dict[str, str]:
    return {
        **os.environ,
        **server_config("browser")["env"],
        "VF_PORT": str(sandbox.server.port),
        "VF_RELAY_TOKEN": sandbox.app[OCCUPANT].relay_token,
    }


async def test_messages_go_both_ways_and_other_talk_does_not(sandbox: Sandbox) -> None:
    config = server_config("browser")
    async with sandbox.http.ws_connect("/relay") as browser:
        bridge = await asyncio.create_subprocess_exec(
            config["command"],
            *config["args"],
            env=environment(sandbox),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert bridge.stdin is not None
        assert bridge.stdout is not None
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        bridge.stdin.write(json.dumps(call).encode() + b"\n")
        asked = json.loads((await browser.receive(30)).data)
        assert asked == {"type": "mcp", "server": "browser", "message": call}
        # Whole numbers as they are; one that Python reads as no whole number ends nothing.
        bridge.stdin.write(b'{"id":%d,"n":%s}\n' % (2**64, b"7" * 5000))
        asked = json.loads((await browser.receive(30)).data)
        assert asked["message"] == {"id": 2**64, "n": "7" * 5000}
        answer = {"jsonrpc": "2.0", "id": 2**64, "result": {"tools": [], "big": "x" * 200_000}}
        deep = '{"type":"mcp","server":"browser","message":' + '{"a":' * 5_000
        for noise in ("plain", "[]", deep, '{"type":"mcp","server":"other","message":{}}', '{"type":"chat"}'):
            await browser.send_str(noise)
        await browser.send_bytes(b"\x00")
        await browser.send_str(json.dumps({"type": "mcp", "server": "browser", "message": answer}))
        received = b""
        while not received.endswith(b"\n"):
            received += await bridge.stdout.read(65536)
        assert json.loads(received) == answer
        bridge.stdin.close()
        assert await bridge.wait() == 0


async def test_a_refused_token_is_a_sentence(sandbox: Sandbox) -> None:
    bridge = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "container.agents.mcp_relay", "browser"),
        env={**environment(sandbox), "VF_RELAY_TOKEN": "other"},
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await bridge.communicate()
    assert bridge.returncode == 1
    assert b"cannot be reached" in errors


async def test_it_wants_a_name() -> None:
    bridge = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "container.agents.mcp_relay", stderr=asyncio.subprocess.DEVNULL
    )
    assert await bridge.wait() == 2
