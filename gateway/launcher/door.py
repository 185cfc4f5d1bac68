"""Sees to the published port: the engine's own forwarder in front of the proxy can die, and nothing else notices."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from docker import errors as docker_errors

from gateway import errors
from gateway.launcher import spec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from docker import APIClient

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
"""How often it is looked at; the watch itself asks the port as often."""

LOOKS: Final = 3
STALE_SECONDS: Final = 16.0
"""In so many looks in a row, over more than so long, the port must be seen dead and the proxy well. The watch says that
the port is dead until it has asked again: its interval and its timeout after both were ill and are well."""

RESTART_SECONDS: Final = 10
"""How long the proxy may take to end."""

WATCH: Final = "watch"
PROXY: Final = "proxy"
"""Roles: the container whose health is that of the published port, and the one that publishes it."""


class Door:
    """Restarts the stack's proxy when the port, which had answered, does so no longer though the proxy is well: only a
    restart has the engine put another forwarder in front. A port that has never answered is left alone: where the
    watch cannot see it (an engine in a virtual machine publishes elsewhere) a restart would help nobody."""

    def __init__(
        self, api: Callable[[], APIClient], stack: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._stack = stack
        self._clock = clock
        self._answered = False
        self._dead: list[float] = []
        self._restarting = ""

    def look(self) -> bool:
        """Look once; whether the proxy was restarted. Raises what the Docker SDK raises."""
        if self._started_again():
            return True
        # A look that fails, or sees anything else, begins the count anew.
        dead, self._dead = self._dead, []
        health = _health(self._found(WATCH))
        if health == "healthy":
            self._answered = True
        if health != "unhealthy" or not self._answered:
            return False
        proxy = self._found(PROXY)
        if _health(proxy) != "healthy":
            return False
        dead = [*dead, self._clock()]
        if len(dead) < LOOKS or dead[-1] - dead[0] <= STALE_SECONDS:
            self._dead = dead
            return False
        log.error(
            "the published port does not answer, and the proxy is well: restarting it for a new forwarder"
        )
        self._restarting = str(proxy["Id"])
        self._api().restart(self._restarting, timeout=RESTART_SECONDS)
        self._restarted()
        return True

    def _started_again(self) -> bool:
        """Whether a proxy that a failed restart had left ended was started. Any other that has ended, somebody else has
        ended, and may be about to remove."""
        if not self._restarting:
            return False
        try:
            status = self._api().inspect_container(self._restarting)["State"]["Status"]
        except docker_errors.NotFound:
            status = ""
        if status != "exited":
            self._restarting = ""
            return False
        log.error("the proxy did not come back from its restart: starting it")
        self._api().start(self._restarting)
        self._restarted()
        return True

    def _restarted(self) -> None:
        # It is not done again before it has helped.
        self._answered = False
        self._restarting = ""

    def _found(self, role: str) -> dict[str, Any]:
        labels = [f"{spec.STACK_LABEL}={self._stack}", f"{spec.ROLE_LABEL}={role}"]
        containers = self._api().containers(filters={"label": labels})
        found: dict[str, Any] = self._api().inspect_container(containers[0]["Id"]) if containers else {}
        return found


def _health(found: dict[str, Any]) -> str:
    return str(found["State"].get("Health", {}).get("Status", "")) if found else ""


async def look_forever(look: Callable[[], Awaitable[bool]]) -> None:
    """Until cancelled; an engine that is away is asked again, and no failure is the last look."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            await look()
        except errors.SandboxUnavailable as error:
            log.warning("the published port could not be looked at: %s", error)
        except Exception:
            log.exception("the published port could not be looked at")
