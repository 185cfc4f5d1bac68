"""Runs the gateway: its public port and its broker's, from start to a drained end."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from container.listener.refusals import Limits
from container.listener.runner import Listener
from gateway.app import MAX_FIELD_BYTES, MAX_LINE_BYTES, build_app
from gateway.broker.model_api import build_broker
from gateway.broker.start_token import starts_of
from gateway.egress.listener import EgressProxy
from gateway.interfaces import open_hosts
from gateway.sandboxes.blocked import tell_blocked
from gateway.web.request.app_keys import AUDIT, CLIENT, DRIVER, RUNS, STATS, STORE
from gateway.web.request.middleware import SECURITY_HEADERS, AccessLogger

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from gateway.config import Settings
    from gateway.sandboxes.drivers import Driver
    from gateway.store import Store
    from gateway.store.blobs import Blobs

logger = logging.getLogger(__name__)
access = logging.getLogger("gateway.access")

CLOSE_SECONDS: Final = 5.0
"""After the drain: how long open requests, sockets and the store may take to close."""

NOTICE_SECONDS: Final = 2.5
"""Within this the stack's proxy has seen that a gateway drains (its checks, infra/proxy/haproxy.cfg): one that closes
before then breaks off what the proxy has just sent it."""

HANDLER_SECONDS: Final = 2.0
"""Of these: how long aiohttp waits for handlers that are still at work."""

HEADERS_BYTES: Final = 64 * 1024
"""Headers together; a browser's are a few kilobytes."""

BROKER_LINE_BYTES: Final = 16 * 1024
"""Longest request line, and longest header, of a sandbox's."""


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
        turned_away = app[STATS].turned_away
        public = await _opened(stack, public_listener(settings, app))
        tell = app[RUNS].signals.notice
        forward = build_broker(
            settings, store, app[CLIENT], turned_away, app[AUDIT], tell, look=app[DRIVER].status
        )
        broker = await _opened(stack, broker_listener(settings, forward, turned_away))
        proxy = await _egress(stack, settings, app)
        await web.TCPSite(broker, settings.host, settings.broker_port).start()
        # Sandboxes are on networks with this gateway, and have no business at the public port.
        for host in open_hosts(settings.host, settings.sandbox_networks):
            await web.TCPSite(public, host, settings.port).start()
        port = int(public.addresses[0][1])
        logger.info("listening on port %s, broker on port %s", port, settings.broker_port)
        if listening is not None:
            listening(port)
        await stopped.wait()
        logger.info("draining")
        await asyncio.gather(
            app[RUNS].drain(),
            _close(broker, settings.drain_seconds),
            _nothing() if proxy is None else proxy.close(settings.drain_seconds),
            asyncio.sleep(min(NOTICE_SECONDS, settings.drain_seconds) if settings.proxy_secret else 0),
        )
        logger.info("drained")


def public_listener(settings: Settings, app: web.Application) -> Listener:
    """The gateway's application at its public port."""
    limits = Limits(
        connections=settings.connections,
        per_address=settings.address_connections,
        line_bytes=MAX_LINE_BYTES,
        field_bytes=MAX_FIELD_BYTES,
        head_bytes=MAX_LINE_BYTES + HEADERS_BYTES,
        answer_seconds=settings.answer_seconds,
        **_pace(settings),
    )
    return Listener(
        app,
        limits,
        turned_away=app[STATS].turned_away,
        headers=SECURITY_HEADERS,
        access_log=access,
        access_log_class=AccessLogger,
        handler_cancellation=True,
        shutdown_timeout=HANDLER_SECONDS,
    )


def broker_listener(settings: Settings, app: web.Application, turned_away: Counter[str]) -> Listener:
    """The broker at its port. Each sandbox has an address of its own on the network that it is on."""
    limits = Limits(
        connections=settings.broker_connections,
        per_address=settings.sandbox_connections,
        line_bytes=BROKER_LINE_BYTES,
        field_bytes=BROKER_LINE_BYTES,
        head_bytes=HEADERS_BYTES,
        answer_seconds=settings.answer_seconds,
        **_pace(settings),
    )
    return Listener(
        app,
        limits,
        turned_away=turned_away,
        access_log=access,
        access_log_class=AccessLogger,
        handler_cancellation=True,
        shutdown_timeout=settings.drain_seconds,
    )


def _pace(settings: Settings) -> dict[str, Any]:
    return {
        "head_seconds": settings.head_seconds,
        "idle_seconds": settings.keepalive_seconds,
        "body_seconds": settings.body_seconds,
        "body_rate": settings.body_kb_per_second * 1024,
    }


async def _egress(stack: AsyncExitStack, settings: Settings, app: web.Application) -> EgressProxy | None:
    """The proxy that sandboxes reach hosts outside by; None where they reach none."""
    if settings.egress == "none":
        return None
    runs = app[RUNS]

    async def tell(session: str, host: str, why: str, may_allow: bool) -> None:
        app[AUDIT].record("egress-block", session=session, outcome=str(why), host=host)
        await tell_blocked(app[DRIVER], runs.agent, session, host, why, may_allow=may_allow)

    holder = starts_of(settings, app[DRIVER].status).session_of
    proxy = EgressProxy(settings, app[STORE], runs.quotas, tell, app[STATS].egress, holder=holder)
    stack.push_async_callback(proxy.close, CLOSE_SECONDS)
    logger.info(
        "egress (%s) on port %s", settings.egress, await proxy.start(settings.host, settings.egress_port)
    )
    return proxy


async def _nothing() -> None:
    """What is done where there is nothing to close."""


async def _opened(stack: AsyncExitStack, listener: Listener) -> Listener:
    """`listener` set up; cleaned up again when the stack is left."""
    stack.push_async_callback(_close, listener, CLOSE_SECONDS)
    await listener.setup()
    return listener


async def _close(runner: web.AppRunner, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await runner.cleanup()
    except TimeoutError:
        logger.warning("not everything closed within %s s", seconds)
