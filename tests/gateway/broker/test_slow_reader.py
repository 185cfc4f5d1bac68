"""A sandbox that asks and does not read: its call of the model's API is not kept open for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

from aiohttp import web

from gateway.serve import broker_listener
from tests.gateway.fakes import until
from tests.gateway.stack import settings_for


async def test_an_answer_that_nobody_takes_is_given_up() -> None:
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        finally:
            ended.set()

    app = web.Application()
    app.router.add_get("/", endless)
    turned_away: Counter[str] = Counter()
    settings = replace(settings_for("http://127.0.0.1:1", "t"), answer_seconds=0.3)
    listener = broker_listener(settings, app, turned_away)
    await listener.setup()
    try:
        await web.TCPSite(listener, "127.0.0.1", 0).start()
        _, writer = await asyncio.open_connection("127.0.0.1", int(listener.addresses[0][1]), limit=1)
        writer.write(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n")
        await until(ended.is_set)
        assert turned_away == {"slowReader": 1}
        writer.transport.abort()
    finally:
        await listener.cleanup()
