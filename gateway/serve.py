"""Runs the gateway: its public port and its broker's, from start to a drained end."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.app import MAX_FIELD_BYTES, MAX_LINE_BYTES, build_app
from gateway.broker.model_api import build_broker
from gateway.web.request.app_keys import CLIENT, RUNS
from gateway.web.request.middleware import AccessLogger

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Settings
    from gateway.sandboxes.drivers import Driver
    from gateway.store import Store
    from gateway.store.blobs import Blobs

logger = logging.getLogger(__name__)
access = logging.getLogger("gateway.access")

CLOSE_SECONDS: Final = 5.0
"""After the drain: how long open requests, sockets and the store may take to close."""

HANDLER_SECONDS: Final = 2.0
"""Of these: how long aiohttp waits for handlers that are still at work."""


async def serve(
    settings: Settings,
    *,
    store: Store,
    driver: Driver,
    blobs: Blobs | None = None,
    listening: Callable[[int], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain, for at most `settings.drain_seconds` and a few seconds more.

    While it drains, requests are still answered, readers are sent elsewhere, leases are given back, and agents may
    finish the model calls that they have open. `listening` is called with the public port once everything is open.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    app = build_app(settings, store=store, driver=driver, blobs=blobs)
    async with AsyncExitStack() as stack:
        public = await _runner(stack, app, HANDLER_SECONDS)
        broker = await _runner(stack, build_broker(settings, store, app[CLIENT]), settings.drain_seconds)
        await web.TCPSite(broker, settings.host, settings.broker_port).start()
        await web.TCPSite(public, settings.host, settings.port).start()
        port = int(public.addresses[0][1])
        logger.info("listening on port %s, broker on port %s", port, settings.broker_port)
        if listening is not None:
            listening(port)
        await stopped.wait()
        logger.info("draining")
        await asyncio.gather(app[RUNS].drain(), _close(broker, settings.drain_seconds))
        logger.info("drained")


async def _runner(stack: AsyncExitStack, app: web.Application, handler_seconds: float) -> web.AppRunner:
    """`app` set up; cleaned up again when the stack is left."""
    runner = web.AppRunner(
        app,
        access_log=access,
        access_log_class=AccessLogger,
        handler_cancellation=True,
        shutdown_timeout=handler_seconds,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_FIELD_BYTES,
    )
    stack.push_async_callback(_close, runner, CLOSE_SECONDS)
    await runner.setup()
    return runner


async def _close(runner: web.AppRunner, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await runner.cleanup()
    except TimeoutError:
        logger.warning("not everything closed within %s s", seconds)
