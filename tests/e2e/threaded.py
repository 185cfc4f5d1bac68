"""A server in a thread of its own on one address of this machine, for what deployed gateways call."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

from aiohttp import web

if TYPE_CHECKING:
    from types import TracebackType


class Threaded:
    """Serves while it is entered. `url`: where."""

    def __init__(self, app: web.Application, host: str) -> None:
        self.url = ""
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(host,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10), f"{type(self).__name__} does not listen"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def _run(self, host: str) -> None:
        self._loop.run_until_complete(self._serve(host))

    async def _serve(self, host: str) -> None:
        self._stop = asyncio.Event()
        runner = web.AppRunner(self._app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, host, 0).start()
        self.url = f"http://{host}:{runner.addresses[0][1]}"
        self._listening.set()
        await self._stop.wait()
        await runner.cleanup()
