"""An application served by a thread of its own, for tests that have no loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def served(app: web.Application, host: str = "127.0.0.1") -> Iterator[str]:
    """Its URL."""
    up: Future[str] = Future()
    loop = asyncio.new_event_loop()
    end = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(app)
        try:
            await runner.setup()
            site = web.TCPSite(runner, host, 0)
            await site.start()
            up.set_result(f"http://{host}:{runner.addresses[0][1]}")
            await end.wait()
        except BaseException as error:
            if not up.done():
                up.set_exception(error)
            raise
        finally:
            await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="served")
    thread.start()
    try:
        yield up.result(30)
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(30)
        loop.close()
