"""The listener itself: an application on guarded connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from container.listener.connection import Connection
from container.listener.guard import Guard
from container.listener.refusals import Limits


class Listener(web.AppRunner):
    """An application on guarded connections. `turned_away` counts by `Refusal`; `headers` are put on the listener's own
    answers; `kwargs` are `web.AppRunner`'s. Bodies are never decompressed, and never read on after the answer."""

    def __init__(
        self,
        app: web.Application,
        limits: Limits,
        *,
        turned_away: Counter[str] | None = None,
        headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            app,
            keepalive_timeout=limits.idle_seconds,
            lingering_time=0,
            auto_decompress=False,
            max_line_size=limits.line_bytes,
            max_field_size=limits.field_bytes,
            **kwargs,
        )
        self._limits = limits
        self._turned_away: Counter[str] = Counter() if turned_away is None else turned_away
        self._headers = headers or {}

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        guard = Guard(self._limits, self._turned_away, self._headers)
        return _Server(guard, made)


class _Server(web.Server):
    """aiohttp's server with `Connection`s in it."""

    def __init__(self, guard: Guard, made: web.Server) -> None:
        super().__init__(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,  # noqa: SLF001 - aiohttp has no public way to the handler's arguments
        )
        self._guard = guard

    def __call__(self) -> Connection:
        return Connection(self._guard, self, loop=self._loop, **self._kwargs)

    async def shutdown(self, timeout: float | None = None) -> None:
        self._guard.close()
        await super().shutdown(timeout)
