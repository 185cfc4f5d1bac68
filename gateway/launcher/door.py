"""Sees to the published port: the engine's own forwarder in front of the proxy can die, and nothing else notices."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from gateway import errors
from gateway.launcher import spec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from docker import APIClient

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
"""How often it is looked at; the watch itself asks the port as often."""

RESTART_SECONDS: Final = 10
"""How long the proxy may take to end."""

WATCH: Final = "watch"
PROXY: Final = "proxy"
"""Roles: the container whose health is that of the published port, and the one that publishes it."""


class Door:
    """Restarts the stack's proxy when the port, which had answered, does so no longer though the proxy is well: only a
    restart has the engine put another forwarder in front. A port that has never answered is left alone: where the
    watch cannot see it (an engine in a virtual machine publishes elsewhere) a restart would help nobody."""

    def __init__(self, api: Callable[[], APIClient], stack: str) -> None:
        self._api = api
        self._stack = stack
        self._answered = False

    def look(self) -> bool:
        """Look once; whether the proxy was restarted. Raises what the Docker SDK raises."""
        health = self._health(WATCH)
        if health == "healthy":
            self._answered = True
        if health != "unhealthy" or not self._answered or self._health(PROXY) != "healthy":
            return False
        self._answered = False
        log.error(
            "the published port does not answer, and the proxy is well: restarting it for a new forwarder"
        )
        self._api().restart(self._found(PROXY)["Id"], timeout=RESTART_SECONDS)
        return True

    def _health(self, role: str) -> str:
        found = self._found(role)
        return str(found["State"].get("Health", {}).get("Status", "")) if found else ""

    def _found(self, role: str) -> dict[str, Any]:
        labels = [f"{spec.STACK_LABEL}={self._stack}", f"{spec.ROLE_LABEL}={role}"]
        containers = self._api().containers(filters={"label": labels})
        found: dict[str, Any] = self._api().inspect_container(containers[0]["Id"]) if containers else {}
        return found


async def look_forever(look: Callable[[], Awaitable[bool]]) -> None:
    """Until cancelled; an engine that is away is asked again."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            await look()
        except errors.SandboxUnavailable as error:
            log.warning("the published port could not be looked at: %s", error)
