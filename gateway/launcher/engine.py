"""The one hop from the event loop to the Docker engine: a bounded pool of threads, and errors that say what to do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

import docker
import requests
from docker import errors as docker_errors

from gateway import errors
from gateway.launcher import spec
from gateway.launcher.containers import Containers
from gateway.launcher.disk.running import RunningContainers
from gateway.launcher.door import Door
from gateway.launcher.networks import JOINING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gateway.launcher.settings import LauncherSettings
    from gateway.sandboxes.drivers import Sandbox

T = TypeVar("T")
log = logging.getLogger(__name__)

THREADS: Final = 16

CALL_SECONDS: Final = 30
"""How long the engine may take to answer a call."""


class Client:
    """The SDK's client, made when it is first needed and shared by all threads."""

    def __init__(self, url: str, *, connections: int) -> None:
        """`connections`: how many calls there are at once."""
        self._url = url
        self._connections = connections
        self._connecting = threading.Lock()
        self._connected: docker.APIClient | None = None

    def api(self) -> docker.APIClient:
        """The client. Raises what the SDK raises."""
        with self._connecting:
            if self._connected is None:
                self._connected = docker.APIClient(
                    self._url, version="auto", timeout=CALL_SECONDS, max_pool_size=self._connections
                )
            return self._connected

    def reach(self) -> None:
        """Raises `OSError` when nobody listens at the engine's socket. The SDK would find that out too, but leave a
        socket open at each attempt until the garbage collector comes by."""
        scheme, _, path = self._url.partition("://")
        if scheme == "unix":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(CALL_SECONDS)
                probe.connect(path)

    def close(self) -> None:
        """May be called twice."""
        if self._connected is not None:
            self._connected.close()


class DockerEngine:
    """The sandboxes of one stack. Every method raises `SandboxUnavailable` when the engine is away or refuses,
    `SandboxUnstartable` when it will go on refusing."""

    def __init__(self, settings: LauncherSettings) -> None:
        self._image = settings.image
        self._client = Client(settings.docker_url, connections=THREADS + JOINING)
        api = self._client.api
        self._running = RunningContainers(api, spec.label_filter(settings), spec.SESSION_LABEL)
        self._containers = Containers(settings, api, self._running.lost_reason)
        self._door = Door(api, settings.stack)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")

    async def ensure(self, session: str, *, named: bool) -> Sandbox:
        """The running container of the session, started or made anew where there is none. `named`: a new start gets a
        name (`Sandbox.start`)."""
        return await self._hop(lambda: self._containers.ensure(session, named=named))

    async def status(self, session: str) -> Sandbox:
        """As `Driver.status`."""
        return await self._hop(lambda: self._containers.status(session))

    async def stop(self, session: str) -> None:
        """End its container and remove it; its volumes stay."""
        await self._hop(lambda: self._containers.stop(session))

    async def delete(self, session: str) -> None:
        """Remove its container and its volumes."""
        await self._hop(lambda: self._containers.delete(session))

    async def list(self) -> Sequence[Sandbox]:
        """All that have a container or volumes. Why one has ended only `status` tells."""
        return await self._hop(self._containers.list)

    async def join_gateways(self) -> int:
        """Put every gateway that runs on every session's network; how many places that were."""
        return await self._hop(self._containers.networks.join_all)

    async def abandoned(self) -> Sequence[str]:
        """Sessions whose networks nobody needs."""
        return await self._hop(self._containers.networks.abandoned)

    async def abandon(self, session: str) -> None:
        """Remove the session's network, unless a sandbox needs it by now."""
        await self._hop(lambda: self._containers.networks.remove(session))

    async def running(self) -> Mapping[str, str]:
        """Session → container of all that run, paused ones too."""
        return await self._hop(self._running.running)

    async def held(self) -> Sequence[str]:
        """The containers that are paused."""
        return await self._hop(self._running.held)

    async def hold(self, container: str, held: bool) -> None:
        """Pause a container, or have it go on."""
        await self._hop(lambda: self._running.hold(container, held=held))

    async def cut(self, container: str, reason: str) -> None:
        """Kill a container; its session's next one is told the reason."""
        await self._hop(lambda: self._running.cut(container, reason))

    async def look_at_door(self) -> bool:
        """See to the published port once; whether the proxy was restarted."""
        return await self._hop(self._door.look)

    async def close(self) -> None:
        """Let go of the engine; may be called twice."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._containers.networks.close()
        self._client.close()

    async def _hop(self, work: Callable[[], T]) -> T:
        def typed() -> T:
            with self._typed_errors():
                self._client.reach()
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._pool, typed)

    @contextlib.contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except docker_errors.ImageNotFound as error:
            raise errors.SandboxUnstartable(
                f"The sandbox image {self._image} is not on the Docker engine; scripts/up builds it again "
                "(with Pulumi alone: pulumi up --replace '**-agent')."
            ) from error
        except docker_errors.APIError as error:
            log.error("the Docker engine refused: %s", error.explanation or error)  # noqa: TRY400 - said in one line
            if error.status_code == HTTPStatus.BAD_REQUEST:
                raise errors.SandboxUnstartable(
                    "The Docker engine cannot make a sandbox as this stack describes it (sandboxRuntime, limits); the "
                    "launcher's log says why."
                ) from error
            raise errors.SandboxUnavailable(
                "The Docker engine refused to start or stop the sandbox; the launcher's log says why."
            ) from error
        except (docker_errors.DockerException, requests.RequestException, OSError) as error:
            log.error("the Docker engine does not answer: %s", error)  # noqa: TRY400 - said in one line
            raise errors.SandboxUnavailable(
                "The Docker engine does not answer; when it is back, send the prompt again."
            ) from error
