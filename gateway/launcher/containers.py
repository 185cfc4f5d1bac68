"""The containers and volumes of a stack's sandboxes, by blocking calls of the Docker engine's API."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from docker import errors as docker_errors

from container.protocol import AGENT_PORT
from gateway import errors
from gateway.launcher import spec
from gateway.launcher.networks import Networks
from gateway.launcher.settings import possible
from gateway.sandboxes.drivers import Sandbox, SandboxState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from docker import APIClient

    from gateway.launcher.settings import LauncherSettings

log = logging.getLogger(__name__)

STOP_SECONDS: Final = 5
PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Between looks while another launcher is at work on the same container."""

_STATES: Final = {
    "created": SandboxState.STARTING,
    "restarting": SandboxState.STARTING,
    "running": SandboxState.RUNNING,
    "paused": SandboxState.RUNNING,
    "removing": SandboxState.STOPPED,
    "exited": SandboxState.STOPPED,
    "dead": SandboxState.STOPPED,
}


class Containers:
    """Nothing is remembered: names and labels say what there is, so that a launcher may restart at any point.

    `stop` removes the container; one that is there and does not run has ended by itself. Safe beside other launchers:
    a container's name is unique, whoever loses a race looks again. Raises what the Docker SDK raises.
    """

    def __init__(
        self,
        settings: LauncherSettings,
        api: Callable[[], APIClient],
        lost_reason: Callable[[Mapping[str, Any]], str],
    ) -> None:
        """`lost_reason`: why a container, as the engine inspects it, has ended by itself."""
        self._settings = settings
        self._api = api
        self._lost_reason = lost_reason
        self._possible: LauncherSettings | None = None
        """The settings with no more CPUs than the engine has, once it has been asked."""
        self.networks = Networks(api, settings)

    def ensure(self, session: str, *, named: bool = False) -> Sandbox:
        """The running container, started or made anew; one that runs an earlier image goes on. Every gateway is on its
        network by then. `named`: see `DockerEngine.ensure`."""
        failures = 0
        for pause in PAUSES:
            found = self._inspect(session)
            try:
                if found is not None and self._serves(session, found):
                    self.networks.join(session)
                    return self._sandbox(session, found)
                self._advance(session, found, named)
            except docker_errors.ImageNotFound:
                raise
            except docker_errors.APIError as error:
                # A conflict is another launcher at the same work. Anything else may be what an earlier, cut short
                # attempt has left (a container on a network that is gone), and is worth one more.
                failures += error.status_code != HTTPStatus.CONFLICT
                if failures > 1:
                    raise
                log.info("session %s: looking again: %s", session, error.explanation)
                time.sleep(pause)
        raise _undecided(session)

    def status(self, session: str) -> Sandbox:
        """As `Driver.status`."""
        found = self._inspect(session)
        if found is not None:
            return self._sandbox(session, found)
        state = SandboxState.STOPPED if self._volumes(session) else SandboxState.ABSENT
        return Sandbox(session=session, state=state)

    def stop(self, session: str) -> None:
        """TERM, KILL after 5 s, and the container is removed with its network; its volumes stay."""

        def attempt() -> None:
            found = self._inspect(session)
            if found is not None:
                with contextlib.suppress(docker_errors.NotFound):
                    self._api().stop(found["Id"], timeout=STOP_SECONDS)
                self._remove(found["Id"])
                log.info("session %s: sandbox stopped", session)

        _until_no_conflict(session, attempt)
        self.networks.remove(session)

    def delete(self, session: str) -> None:
        """The container, without a goodbye, its network and the volumes."""

        def attempt() -> None:
            found = self._inspect(session)
            if found is not None:
                self._remove(found["Id"])
            for name in self._volumes(session):
                with contextlib.suppress(docker_errors.NotFound):
                    self._api().remove_volume(name)

        _until_no_conflict(session, attempt)
        self.networks.remove(session)
        log.info("session %s: sandbox and volumes deleted", session)

    def list(self) -> Sequence[Sandbox]:
        """All that have a container or volumes: two calls, whatever their number. What has the stack's labels and no
        session's is somebody else's, and left out."""
        filters = spec.label_filter(self._settings)
        volumes = self._api().volumes(filters=filters)["Volumes"] or ()
        stopped = (volume["Labels"].get(spec.SESSION_LABEL) for volume in volumes)
        found = {
            session: Sandbox(session=session, state=SandboxState.STOPPED) for session in stopped if session
        }
        for container in self._api().containers(all=True, filters=filters):
            session, state = container["Labels"].get(spec.SESSION_LABEL), _STATES[container["State"]]
            if not session:
                continue
            running = state is SandboxState.RUNNING
            found[session] = Sandbox(
                session=session,
                state=state,
                host=self._address(session, container) if running else "",
                port=AGENT_PORT if running else 0,
                started_at=float(container["Created"]) if running else 0.0,
                start=container["Labels"].get(spec.START_LABEL, ""),
            )
        return list(found.values())

    def _inspect(self, session: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._api().inspect_container(
                spec.container_name(self._settings, session)
            )
        except docker_errors.NotFound:
            return None
        self._check_ours(session, found["Config"]["Labels"])
        return found

    def _advance(self, session: str, found: dict[str, Any] | None, named: bool) -> None:
        """One step towards a running container."""
        if found is None:
            self._create(session, lost_reason="", named=named)
        elif _STATES[found["State"]["Status"]] is SandboxState.RUNNING:
            # A launcher that was slow to stop it before has taken its network away.
            log.warning("session %s: its sandbox runs without a network: it gets one", session)
            self.networks.take_in(session, found["Id"])
        elif _STATES[found["State"]["Status"]] is SandboxState.STARTING:
            self._start(session, found["Id"])
        else:
            reason = self._lost_reason(found)
            self._remove(found["Id"])
            log.info("session %s: its sandbox had ended by itself (%s); a new one is made", session, reason)
            self._create(session, lost_reason=reason, named=named)

    def _create(self, session: str, *, lost_reason: str, named: bool) -> None:
        api = self._api()
        if self._possible is None:
            self._possible = possible(self._settings, cpus=api.info()["NCPU"])
        for name in spec.volume_names(self._settings, session):
            volume = api.create_volume(name, labels=spec.labels(self._settings, session))
            self._check_ours(session, volume["Labels"])
        self.networks.ensure(session)
        start = secrets.token_hex(8) if named else ""
        arguments = spec.create_arguments(api, self._possible, session, lost_reason, start)
        self._start(session, api.create_container(**arguments)["Id"])

    def _start(self, session: str, container: str) -> None:
        """Start a container that is made."""
        try:
            self._api().start(container)
        except docker_errors.APIError:
            self._remove(container)
            raise
        log.info("session %s: sandbox started, container %.12s", session, container)

    def _remove(self, container: str) -> None:
        with contextlib.suppress(docker_errors.NotFound):
            self._api().remove_container(container, v=True, force=True)

    def _volumes(self, session: str) -> Sequence[str]:
        filters = spec.label_filter(self._settings, session)
        return [volume["Name"] for volume in self._api().volumes(filters=filters)["Volumes"] or ()]

    def _check_ours(self, session: str, found: dict[str, str] | None) -> None:
        if not spec.labels(self._settings, session).items() <= (found or {}).items():
            raise errors.SandboxUnavailable(
                f"A container or volume has the name of session {session}'s sandbox, but is not of this stack."
            )

    def _sandbox(self, session: str, found: dict[str, Any]) -> Sandbox:
        status = found["State"]["Status"]
        state = _STATES[status]
        running = state is SandboxState.RUNNING
        return Sandbox(
            session=session,
            state=state,
            host=self._address(session, found) if running else "",
            port=AGENT_PORT if running else 0,
            started_at=datetime.fromisoformat(found["State"]["StartedAt"]).timestamp() if running else 0.0,
            lost_reason=self._lost_reason(found) if status in ("exited", "dead") else "",
            start=found["Config"]["Labels"].get(spec.START_LABEL, ""),
        )

    def _serves(self, session: str, found: dict[str, Any]) -> bool:
        """Whether it runs, and can be reached."""
        running = _STATES[found["State"]["Status"]] is SandboxState.RUNNING
        return running and bool(self._address(session, found))

    def _address(self, session: str, found: dict[str, Any]) -> str:
        own = spec.network_name(self._settings, session)
        return str(found["NetworkSettings"]["Networks"].get(own, {}).get("IPAddress", ""))


def _until_no_conflict(session: str, attempt: Callable[[], None]) -> None:
    """The engine answers 409 while another removes the same container, and for a volume that one still uses."""
    for pause in PAUSES:
        try:
            return attempt()
        except docker_errors.APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
            log.info("session %s: looking again: %s", session, error.explanation)
            time.sleep(pause)
    raise _undecided(session)


def _undecided(session: str) -> errors.SandboxUnavailable:
    return errors.SandboxUnavailable(
        f"The container of session {session} was started and stopped by others all the time; try again."
    )
