"""The page in Chromium behind networks that are in its way: swallowed frames, few connections, a path of its own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect

from tests.tunnel import Target, answer, request_path, tunnel, with_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.people import People, Person
    from tests.gateway.stack import Stack

pytestmark = pytest.mark.e2e

ENDLESS = "Count to 9999 every 30 ms"
NO_WEBSOCKETS = "WebSocket = class { constructor() { throw new Error('none'); } };"


def port_of(stack: Stack) -> int:
    return int(stack.url.rpartition(":")[2])


@asynccontextmanager
async def deaf() -> AsyncIterator[int]:
    """The port of something that takes a WebSocket and says nothing in it."""

    async def swallow(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    app = web.Application()
    app.router.add_get("/api/sdk/ws", swallow)
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


async def test_frames_that_are_swallowed_cost_one_prompt_a_moment_and_the_next_nothing(
    people: People, stack: Stack
) -> None:
    async with deaf() as hole:

        @asynccontextmanager
        async def choose(head: bytes) -> AsyncIterator[Target | bytes]:
            swallowed = request_path(head).startswith("/api/sdk/ws")
            yield Target("127.0.0.1", hole if swallowed else port_of(stack), head)

        async with tunnel(choose) as port:
            ada = await people.person(url=f"http://127.0.0.1:{port}")
            await ada.open()
            assert await ada.ask("Echo first") == "first"
            tried = len(ada.sockets)
            assert tried == 1
            assert await ada.ask("Echo second") == "second"
            await ada.page.reload()
            await expect(ada.answers).to_have_count(2)
            assert await ada.ask("Echo third") == "third"
            assert len(ada.sockets) == tried


async def test_six_tabs_with_events_leave_room_for_stop_and_for_a_seventh(people: People) -> None:
    ada = await people.person()
    await ada.page.context.add_init_script(NO_WEBSOCKETS)
    tabs: list[Person] = [ada]
    await ada.open()
    tabs += [await people.person(same_browser=ada) for _ in range(6)]
    for tab in tabs[:6]:
        await tab.page.goto(f"{tab.url}/")
        await tab.say(ENDLESS)
        await expect(tab.prose).to_contain_text("1 2 3")
    await expect(ada.see("connection")).to_have_text("Live (polling)")
    await expect(tabs[5].see("connection")).to_have_text("Live (SSE)")
    for tab in tabs[:6]:
        await expect(tab.prose).to_contain_text(" 50 ")
    await ada.see("stop").click()
    await ada.rest()
    seventh = tabs[6]
    await seventh.page.goto(f"{seventh.url}/")
    assert await seventh.ask("Echo seventh") == "seventh"
    for tab in tabs[1:6]:
        await tab.see("stop").click()
        await tab.rest()
        count: list[Any] = (await tab.prose.inner_text()).split()
        assert count == [str(number + 1) for number in range(len(count))]


async def test_under_a_path_that_a_proxy_takes_away_everything_works(people: People, stack: Stack) -> None:
    asked: list[str] = []

    @asynccontextmanager
    async def strip(head: bytes) -> AsyncIterator[Target | bytes]:
        path = request_path(head)
        asked.append(path)
        if not path.startswith("/vf/"):
            yield answer("404 Not Found")
            return
        once = head.replace(b"\r\nConnection: keep-alive", b"\r\nConnection: close")
        yield Target("127.0.0.1", port_of(stack), with_path(once, path.removeprefix("/vf")))

    async with tunnel(strip) as port:
        await use(people, f"http://127.0.0.1:{port}/vf")
    assert {path for path in asked if not path.startswith("/vf/")} <= {"/favicon.ico"}


async def test_under_a_path_of_its_own_everything_works(people: People, stack: Stack) -> None:
    await stack.start(replace(stack.settings, base_path="/forge"))
    await use(people, stack.gateways[1].url + "/forge")


async def use(people: People, url: str) -> None:
    """Sign in, ask, read it again, and leave."""
    ada = await people.person(url=url)
    await ada.open()
    assert await ada.ask("Echo under a path") == "under a path"
    assert len(ada.sockets) == 1
    await ada.page.reload()
    await expect(ada.prose).to_have_text("under a path")
    assert ada.page.url.startswith(f"{url}/#/s/")
    await ada.page.get_by_role("button", name="Sign out").click()
    await expect(ada.see("token")).to_be_visible()
    assert ada.page.url == f"{url}/"
