"""The `cloud` target: two gateways on the `aws` target's settings, and a ministack whose ECS starts their sandboxes."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from tests.aws.cloud.ministack import cloud
from tests.aws.gateways import AwsGateways, told
from tests.chaos.child import Child
from tests.chaos.container_faults import container_faults
from tests.chaos.container_logs import frames_in
from tests.chaos.processes import OF_ONE_TEAM
from tests.chaos.service_faults import service_faults
from tests.chaos.target import Busy, Fault, Gauge
from tests.gateway.fault_proxy import FaultProxy
from tests.gateway.sandboxes.drivers.docker_bench import build
from tests.opened import Opened

IMAGE: Final = "vaporforge-test-agent"


class CloudStack(Opened):
    """Use it as an async context manager: everything is started, and at its end nothing of it is left.

    `settings`: more `VF_*` variables of the gateways. The store is ministack's DynamoDB behind a proxy.
    """

    def __init__(self, folder: Path, seed: int, *, settings: Mapping[str, str]) -> None:
        super().__init__()
        self.busy: Busy = list
        self.notes: list[str] = []
        self.random = random.Random(seed)
        self.proxy: FaultProxy
        self._folder = folder
        self._settings = dict(settings)
        self._stack: AwsGateways
        self._engine: Any = None

    async def _open(self) -> None:
        program = await asyncio.to_thread(told)
        image = await asyncio.to_thread(build, IMAGE, "container/Dockerfile", "container")
        ministack = await asyncio.to_thread(self._exit.enter_context, cloud())
        self._engine = await asyncio.to_thread(docker.from_env)
        self._exit.callback(self._engine.close)
        proxy = FaultProxy(ministack.url, seed=self.random.getrandbits(32))
        self.proxy = await self._exit.enter_async_context(proxy)
        self._stack = await self._exit.enter_async_context(
            AwsGateways(
                ministack,
                image,
                self._folder,
                program,
                more={**OF_ONE_TEAM, **self._settings},
                dynamodb=self.proxy.url,
            )
        )

    # -- what a target has --
    @property
    def faults(self) -> Mapping[str, Fault]:
        """Gateways, the store, and tasks' containers."""
        return {**service_faults(self), **container_faults(self)}

    @property
    def gateways(self) -> Sequence[Child]:
        """The gateways' processes."""
        return self._stack.gateways

    def url(self) -> str:
        """Any gateway, dead ones too: the reader finds out."""
        return random.choice(self._stack.urls)

    def token(self, user: str) -> str:
        """A token of this deployment."""
        return self._stack.token(user)

    async def written(self, session: str, run: str) -> list[bytes] | None:
        """See `Target`: out of the task's container while there is one."""
        container = await self.sandbox(session)
        return None if container is None else await asyncio.to_thread(frames_in, container, run)

    async def leftovers(self, sessions: Sequence[str]) -> list[str]:
        """See `Target`: tasks that run, and snapshots."""
        left = []
        for session in sessions:
            left += [
                f"container {name}" for name in await self._stack.containers(session, "running", "paused")
            ]
            left += [f"snapshot of {session}"] if await self._stack.snapshot(session) else []
        return left

    async def asleep(self, session: str) -> bool:
        """See `Target`."""
        return await self.sandbox(session) is None

    async def gauges(self) -> Mapping[str, Gauge]:
        """See `Target`."""
        proc = Path(f"/proc/{self.gateways[0].pid}")
        return {"gateway": Gauge.of((proc / "status").read_text(), len(list((proc / "fd").iterdir())))}

    async def restart(self, number: int) -> None:
        """See `Target`."""
        other = self.gateways[1]
        await other.end(signal.SIGTERM if number % 2 else signal.SIGKILL)
        await other.start()

    # -- what faults need --
    async def sandbox(self, session: str) -> Container | None:
        """The container of a session's task, when it runs."""
        for name in await self._stack.containers(session, "running", "paused"):
            try:
                found: Container = await self.in_thread(self._engine.containers.get, name)
            except NotFound:  # it went just now
                continue
            return found
        return None

    async def in_thread(self, call: Callable[..., Any], *args: Any) -> Any:
        """What the engine's SDK does blocks."""
        return await asyncio.to_thread(call, *args)
