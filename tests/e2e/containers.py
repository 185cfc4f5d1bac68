"""Gateways of a test whose sandboxes are containers: as a deployed stack has them, without the deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docker.errors import APIError

from gateway.app import build_app
from gateway.launcher import spec
from gateway.sandboxes.drivers.docker import DockerDriver
from gateway.serve import public_listener
from gateway.store.blobs.factory import make_blobs
from gateway.store.dynamo import DynamoStore
from tests.e2e.leftovers import items
from tests.gateway.sandboxes.drivers.docker_bench import DockerBench
from tests.gateway.stack import Gateway, Stack

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from gateway.config import Settings


class Bench(DockerBench):
    """One that bears an engine which has lost count of a network's endpoints: Docker 20.10 sometimes does when a busy
    machine starts and removes many containers at once, and takes no such network away before it is restarted."""

    def _remove_all(self) -> None:
        try:
            super()._remove_all()
        except APIError as error:
            if "has active endpoints" not in str(error.explanation):
                raise


class ContainerGateway(Gateway):
    """One gateway in this process that asks a launcher for its sandboxes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = build_app(
            settings,
            store=DynamoStore(settings),
            driver=DockerDriver(settings),
            blobs=make_blobs(settings),
        )
        self._runner = public_listener(settings, self.app)
        self.url = ""


class ContainerStack(Stack):
    """Gateways that share a table, the launcher at `launcher`, and a folder of snapshots, `root`. The bench takes its
    containers and volumes away."""

    def __init__(self, endpoint: str, bench: Bench, launcher: str, root: Path, **changes: Any) -> None:
        shared: dict[str, Any] = {
            "stack": bench.stack,
            "driver": "docker",
            "launcher_url": launcher,
            "launcher_secret": bench.settings.launcher_secret,
            "sandbox_secret": bench.settings.sandbox_secret,
            "blobs": f"folder:{root}",
        }
        super().__init__(endpoint, bench.stack, root, **shared, **changes)
        self.bench = bench

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for gateway in self.gateways:
            await gateway.close()
        await self._exit.aclose()

    async def add(self) -> Gateway:
        gateway = ContainerGateway(self.settings)
        await gateway.start()
        self.gateways.append(gateway)
        return gateway

    def snapshots(self) -> list[str]:
        """The sessions of which a snapshot is kept, and whatever else lies there."""
        return sorted(path.name for path in self.root.rglob("*") if path.is_file())

    def leftovers(self) -> list[str]:
        """Items, snapshots, containers, volumes and networks: everything that sessions can leave; it blocks."""
        api, labelled = self.bench.api, {"label": [f"{spec.STACK_LABEL}={self.bench.stack}"]}
        volumes = api.volumes(filters=labelled)["Volumes"] or ()
        return [
            *items(self.settings),
            *(f"snapshot {name}" for name in self.snapshots()),
            *(f"container {item['Names']}" for item in api.containers(all=True, filters=labelled)),
            *(f"volume {volume['Name']}" for volume in volumes),
            *(f"network {network['Name']}" for network in api.networks(filters=labelled)),
        ]
