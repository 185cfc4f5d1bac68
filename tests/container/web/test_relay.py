"""The relay: everyone else gets what one peer says."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aiohttp
from aiohttp import WSMsgType

from container.web.app_keys import OCCUPANT
from container.web.relay import MAX_MESSAGE_BYTES
from tests.container.conftest import DEADLINE, Sandbox, text


async def peers(sandbox: Sandbox, count: int) -> list[aiohttp.ClientWebSocketResponse]:
    return [await sandbox.http.ws_connect("/relay", max_msg_size=2**24) for _ in range(count)]


async def received(peer: aiohttp.ClientWebSocketResponse) -> Any:
    message = await peer.receive(DEADLINE)
    return message.data


async def test_text_and_binary_reach_every_other_peer_and_never_their_sender(sandbox: Sandbox) -> None:
    first, second, third = await peers(sandbox, 3)
    await first.send_str("héllo")
    await first.send_bytes(b"\x00\xff")
    for peer in (second, third):
        assert await received(peer) == "héllo"
        assert await received(peer) == b"\x00\xff"
    await second.send_str("answer")
    assert await received(first) == "answer"
    for peer in (first, second, third):
        await peer.close()


async def test_a_message_over_the_limit_ends_its_sender_alone(sandbox: Sandbox) -> None:
    first, second, third = await peers(sandbox, 3)
    with contextlib.suppress(ConnectionError):  # it may be cut off in the middle of its message
        await first.send_str("x" * (MAX_MESSAGE_BYTES + 1))
    assert (await first.receive(DEADLINE)).type is not WSMsgType.TEXT
    assert first.close_code in {1006, 1009}
    await second.send_str("still here")
    assert await received(third) == "still here"
    await second.close()
    await third.close()


async def test_a_slow_peer_is_closed_with_1013_and_holds_nobody_up(sandbox: Sandbox) -> None:
    sender, slow, quick = await peers(sandbox, 3)
    message = b"x" * (MAX_MESSAGE_BYTES // 2)
    async with asyncio.timeout(60):
        for _ in range(40):
            await sender.send_bytes(message)
            assert await received(quick) == message
        got = []
        while (last := await slow.receive()).type is WSMsgType.BINARY:
            got.append(last.data)
    assert 0 < len(got) < 40
    assert slow.close_code in {1013, 1006}
    await sender.close()
    await quick.close()


async def test_an_inner_peer_does_not_keep_the_sandbox_awake(sandbox: Sandbox) -> None:
    async with sandbox.http.ws_connect("/relay?inner=1"):
        assert (await sandbox.ping())["connections"] == 0
        async with sandbox.http.ws_connect("/relay"):
            assert (await sandbox.ping())["connections"] == 1


async def test_what_an_agent_has_opens_the_relay_to_it_and_nothing_else(sandbox: Sandbox) -> None:
    key = sandbox.app[OCCUPANT].relay_token
    reversed_key = text(await sandbox.ask("run-1", "say(os.environ['VF_RELAY_TOKEN'][::-1])"))
    assert reversed_key[::-1] == key  # as it is it would be struck
    assert text(await sandbox.ask("run-2", "say(str('VF_SANDBOX_TOKEN' in os.environ))")) == "False"
    headers = {"Authorization": f"Bearer {key}"}
    async with sandbox.http.ws_connect("/relay?inner=1", headers=headers):
        pass
    for method, path in (
        ("GET", "/relay"),
        ("GET", "/relay?inner=0"),
        ("GET", "/ws?run=run-1&inner=1"),
        ("GET", "/files/x?inner=1"),
        ("PUT", "/pending/run-3?inner=1"),
        ("POST", "/runs/run-1/stop?inner=1"),
        ("GET", "/snapshot?inner=1"),
    ):
        async with sandbox.http.request(method, path, headers=headers) as answer:
            assert answer.status == 401, path
