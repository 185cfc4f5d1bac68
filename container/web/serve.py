"""Runs the agent server: binds, says where, waits for a signal, and ends within a limit."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Final

from aiohttp import web

from container.listener.refusals import Limits
from container.listener.runner import Listener
from container.settings import Settings
from container.web.app import build_app

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS: Final = 4.5
"""From the signal to the end of the process, at most."""

LIMITS: Final = Limits(connections=512, per_address=256, body_seconds=0.0)
"""Gateways read many runs and relays at once. A body is a snapshot or a file, whose own handlers watch its pace, and
nobody without the token has one read."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the port is taken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = Listener(build_app(settings), LIMITS, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, settings.host, settings.port)
    await site.start()
    port = runner.addresses[0][1]
    log.info("the agent server listens on %s:%d", settings.host, port)
    if settings.port_file is not None:
        _write_whole(settings.port_file, f"{port}\n")
    await stop.wait()
    log.info("the agent server is going away")
    try:
        async with asyncio.timeout(SHUTDOWN_SECONDS):
            await runner.cleanup()
    except TimeoutError:
        log.error("the end took longer than %.1f s; leaving what is left", SHUTDOWN_SECONDS)  # noqa: TRY400


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.write_text(text)
    draft.replace(path)
