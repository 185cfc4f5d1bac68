"""`python -m container.agents.mcp_relay NAME`: an MCP server on stdio whose other end is a peer of the session's relay.

So an MCP server that runs in the browser can serve the agent. JSON-RPC messages travel over the relay wrapped, so
that what else is said there is not mistaken for them: `{"type":"mcp","server":NAME,"message":{…}}`, the same both
ways. A peer that serves NAME answers each request with a message that has the request's `id`; everyone else ignores
it. While no peer is there, a request simply goes unanswered, and the agent's own time limit ends it.

It finds the agent server by `VF_PORT`, or by the file that `VF_PORT_FILE` names, and shows `VF_RELAY_TOKEN`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import aiohttp

from container.agents.stdio import queries, send
from container.protocol import AGENT_PORT, decode
from container.settings import CODE_ROOT


def server_config(name: str) -> dict[str, Any]:
    """How an agent starts this bridge, as an MCP server's configuration. The token stays in the environment."""
    return {
        "type": "stdio",
        "command": sys.executable,
        "args": ["-P", "-m", "container.agents.mcp_relay", name],
        "env": {"PYTHONPATH": str(CODE_ROOT)},
    }


def agent_server_port(env: Mapping[str, str]) -> int:
    """The port of this sandbox's agent server."""
    port = int(env.get("VF_PORT") or AGENT_PORT)
    return port or int(Path(env["VF_PORT_FILE"]).read_text(encoding="ascii"))


async def bridge(name: str, env: Mapping[str, str]) -> None:
    """Carry messages both ways until stdin ends or the relay closes. Raises aiohttp.ClientError when there is none."""
    url = f"ws://127.0.0.1:{agent_server_port(env)}/relay?inner=1"
    headers = {"Authorization": f"Bearer {env['VF_RELAY_TOKEN']}"}
    async with aiohttp.ClientSession() as http, http.ws_connect(url, headers=headers, heartbeat=30) as relay:
        to_relay = asyncio.create_task(_to_relay(name, relay))
        from_relay = asyncio.create_task(_from_relay(name, relay))
        done, _ = await asyncio.wait([to_relay, from_relay], return_when=asyncio.FIRST_COMPLETED)
        for task in (to_relay, from_relay):
            task.cancel()
        for task in done:
            task.result()


async def _to_relay(name: str, relay: aiohttp.ClientWebSocketResponse) -> None:
    async for message in queries():
        await relay.send_str(json.dumps({"type": "mcp", "server": name, "message": message}))


async def _from_relay(name: str, relay: aiohttp.ClientWebSocketResponse) -> None:
    async for received in relay:
        if received.type is not aiohttp.WSMsgType.TEXT:
            continue
        try:
            wrapped = decode(received.data.encode())
        except ValueError:
            continue
        if wrapped.get("type") != "mcp" or wrapped.get("server") != name:
            continue
        if isinstance(wrapped.get("message"), dict):
            send(wrapped["message"])


def main(argv: list[str], errors: TextIO) -> int:
    """The exit code: 0 when stdin ended, 1 when the relay could not be reached, 2 for a wrong command line."""
    if len(argv) != 2:
        errors.write("usage: python -m container.agents.mcp_relay NAME\n")
        return 2
    try:
        asyncio.run(bridge(argv[1], os.environ))
    except (aiohttp.ClientError, OSError) as error:
        errors.write(f"mcp_relay: the agent server's relay cannot be reached: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv, sys.stderr))
