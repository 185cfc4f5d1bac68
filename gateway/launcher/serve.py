"""Runs the launcher's listener until a signal."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Final

from aiohttp import web

from container.listener.refusals import Limits
from container.listener.runner import Listener
from gateway.launcher.app import build_launcher

if TYPE_CHECKING:
    from gateway.launcher.engine import DockerEngine
    from gateway.launcher.settings import LauncherSettings

LIMITS: Final = Limits(connections=512)
"""Its callers are the gateways, a call for each sandbox that starts or stops."""

SHUTDOWN_SECONDS: Final = 10.0
"""How long calls that are open may take to end."""


async def serve(settings: LauncherSettings, engine: DockerEngine) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when the port is taken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = build_launcher(settings, engine)
    listener = Listener(app, LIMITS, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await listener.setup()
    try:
        await web.TCPSite(listener, settings.host, settings.port).start()
        await stop.wait()
    finally:
        await listener.cleanup()
