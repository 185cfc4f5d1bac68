"""The fake of the model's API in a thread of its own, and what it saw: for stacks whose gateways call it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from tests.fake_model_api import REQUESTS, build_app

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp.typedefs import Handler


class ModelApi:
    """Listens on one address of this machine while it is entered. `keys`: what its callers paid with; `busy`: how many
    answers are being given now."""

    def __init__(self, host: str) -> None:
        self.keys: set[str] = set()
        self.busy = 0
        self.url = ""
        self._app = build_app()
        self._app.middlewares.append(self._watch())
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(host,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10), "the fake of the model's API does not listen"
        return self

    def prompts(self) -> list[str]:
        """The text of every user message in the newest request of an agent, oldest first."""
        messages = self._app[REQUESTS][-1]["messages"]
        return [_text(message["content"]) for message in messages if message["role"] == "user"]

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

    def _watch(self) -> Any:
        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.keys.add(request.headers.get("x-api-key", ""))
            self.busy += 1
            try:
                return await handler(request)
            finally:
                self.busy -= 1

        return watch


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(block.get("text", "") for block in content)
