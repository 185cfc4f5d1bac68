"""A terminal of a deployed stack: through the proxy, in a sandbox's container, as the agent's user and beside it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.test_replicas import reader, session_of
from tests.gateway.stack import assert_whole, read_all
from tests.terminal_client import SECONDS, Shell

if TYPE_CHECKING:
    from tests.e2e.deployed import Deployed

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

KILL_AGENT = (
    "for p in /proc/[0-9]*; do if grep -qs container.agents $p/cmdline; then kill -9 ${p#/proc/}; fi; done\r"
)


async def test_it_is_the_agents_user_and_stays_when_the_agent_ends(demo_stack: Deployed) -> None:
    async with reader() as http:
        session = await session_of(http, demo_stack)
        url = f"{demo_stack.url}/api/sessions/{session}/terminals"
        async with http.post(url, json={"cols": 100, "rows": 30}) as response:
            assert response.status == 201, await response.text()
            name = (await response.json())["id"]

        def connect(query: dict[str, str]) -> Any:
            params = {"sessionId": session, "terminal": name, **query}
            return http.ws_connect(f"{demo_stack.url}/api/sdk/terminal", params=params, max_msg_size=0)

        shell = Shell(connect, name)
        following = asyncio.create_task(shell.follow(0.1))
        await shell.type("id -u; pwd; ls -ln $(tty); echo tokens: $(env | grep -c 'vf[sr]1[.]')\r")
        await shell.shows("10001\r\n")
        await shell.shows("/workspace\r\n")
        await shell.shows("tokens: 0\r\n")
        await shell.type("sleep 1000 & echo job is $!\r")
        await shell.shows("job is ")
        await shell.type("kept=kept; stty size\r")
        await shell.shows("30 100")
        await shell.type(KILL_AGENT)
        await shell.type("jobs; echo $kept al''ive\r")
        await shell.shows("kept alive")
        assert b"Running" in shell.output
        query = {"sessionId": session, "prompt": "echo after it"}
        async with http.ws_connect(f"{demo_stack.url}/api/sdk/ws", params=query) as socket:
            assert_whole(await read_all(socket))
        await shell.type("jobs; echo st''ill\r")
        await shell.shows("still")
        assert shell.output.count(b"Running") == 2
        await shell.cut()
        await shell.type("exit 4\r")
        await asyncio.wait_for(following, SECONDS)
        assert (shell.exit_code, shell.missed) == (4, 0)
        async with http.delete(f"{demo_stack.url}/api/sessions/{session}") as response:
            assert response.status == 204
