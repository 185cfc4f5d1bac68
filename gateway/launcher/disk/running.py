"""The stack's containers that run, by their ids: whose they are, held still or let go on, ended for a reason."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from docker import errors as docker_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from docker import APIClient

log = logging.getLogger(__name__)

REMEMBERED: Final = 1024

SIGNAL_EXIT: Final = 128
"""`tini`, a container's first process, ends with this and the number of the signal that ended the agent server."""


class RunningContainers:
    """What the watch of the disk wants of the engine (`Sandboxes`), by blocking calls, and why a container has ended.
    Raises what the Docker SDK raises."""

    def __init__(
        self, api: Callable[[], APIClient], filters: Mapping[str, Sequence[str]], session_label: str
    ) -> None:
        """`filters`: the engine's, for the stack's sandboxes; `session_label`: whose value is a container's session."""
        self._api = api
        self._filters = filters
        self._session_label = session_label
        self._cut: dict[str, str] = {}
        """Container → why it was killed here. A launcher that restarts forgets it, and says `killed`."""

    def running(self) -> Mapping[str, str]:
        """Session → container of all that run, paused ones too."""
        found = (
            (one["Labels"].get(self._session_label), one["Id"]) for one in self._listed("running", "paused")
        )
        return {session: str(container) for session, container in found if session}

    def held(self) -> Sequence[str]:
        """The containers that are paused."""
        return [str(one["Id"]) for one in self._listed("paused")]

    def hold(self, container: str, *, held: bool) -> None:
        """Pause a container, or have it go on; one that has ended, or is so already, is success."""
        api = self._api()
        try:
            (api.pause if held else api.unpause)(container)
        except docker_errors.APIError as error:
            # Engines differ in what they answer for one that is not as it was thought to be.
            log.info("container %.12s: %s", container, error.explanation)

    def cut(self, container: str, reason: str) -> None:
        """Kill a container, for a reason that its session's next one is told; its session's volumes stay."""
        while len(self._cut) >= REMEMBERED:
            del self._cut[next(iter(self._cut))]
        self._cut[container] = reason
        try:
            self._api().kill(container, signal="SIGKILL")
        except docker_errors.APIError as error:
            if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):  # it has ended
                raise

    def lost_reason(self, found: Mapping[str, Any]) -> str:
        """Why a container has ended by itself. `found`: as the engine inspects it."""
        state = found["State"]
        if state["OOMKilled"]:
            return "oom"
        return self._cut.get(found["Id"]) or ("killed" if state["ExitCode"] > SIGNAL_EXIT else "exited")

    def _listed(self, *states: str) -> Sequence[Mapping[str, Any]]:
        filters = {**self._filters, "status": list(states)}
        found: Sequence[Mapping[str, Any]] = self._api().containers(filters=filters)
        return found
