"""The `processes` target: two gateways, sandboxes as processes, DynamoDB Local behind a proxy; all on loopback."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gateway.web.request.auth import mint
from tests.chaos.child import ROOT, Child, free_port
from tests.chaos.disk import SmallDisk
from tests.chaos.process_faults import process_faults
from tests.chaos.sandboxes import Sandboxes
from tests.chaos.target import Busy, Fault, Gauge
from tests.gateway.fault_proxy import FaultProxy
from tests.opened import Opened

OF_ONE_TEAM: Final = {
    "VF_LEASE_SECONDS": "3",
    "VF_DRAIN_SECONDS": "10",
    # One user does the work of a whole team here.
    "VF_PROMPTS_PER_MINUTE": "0",
    "VF_PROMPTS_PER_DAY": "0",
    "VF_SESSIONS_PER_HOUR": "0",
    "VF_SESSIONS_PER_USER": "0",
    "VF_TICKETS_PER_MINUTE": "0",
    "VF_SANDBOXES_PER_USER": "0",
    "VF_SANDBOXES": "0",
    # All of a campaign's people come from this machine's one address.
    "VF_CONNECTIONS": "10000",
    "VF_ADDRESS_CONNECTIONS": "10000",
    "VF_USER_CONNECTIONS": "10000",
    "VF_SANDBOX_CONNECTIONS": "1000",
}
"""Variables of gateways whose one user does everything, and whose gateways are killed again and again."""


class Processes(Opened):
    """Use it as an async context manager: everything is started, and at its end everything is ended by its id.

    `settings`: more `VF_*` variables of the gateways. `keep`: whether the sandboxes' folders stay in `folder`.
    """

    def __init__(
        self, folder: Path, seed: int, *, settings: Mapping[str, str] | None = None, keep: bool = False
    ) -> None:
        super().__init__()
        self.busy: Busy = list
        self.notes: list[str] = []
        self.gateways: list[Child] = []
        self.urls: list[str] = []
        self.broker_ports: list[int] = []
        self.random = random.Random(seed)
        self.disk = SmallDisk(folder / "sandboxes")
        self.sandboxes = Sandboxes(self.disk.root)
        self.proxy: FaultProxy
        self.dynamodb: Child
        self._folder = folder
        self._blobs = folder / "blobs"
        self._settings = dict(settings or {})
        self._keep = keep
        self._secrets = {
            f"VF_{name}": secrets.token_hex(32) for name in ("JWT_SECRET", "SANDBOX_SECRET", "CREDENTIAL_KEY")
        }

    async def _open(self) -> None:
        self.disk.root.mkdir(parents=True)
        self._blobs.mkdir()
        await self.disk.mount()
        self._exit.push_async_callback(self._end_sandboxes)
        if not self.disk.mounted:
            self.notes.append("no file system can be mounted here: the sandboxes' disk was not filled")
        port = free_port()
        self.dynamodb = await self._child(
            "dynamodb",
            [str(ROOT / "scripts/dynamodb"), "--port", str(port), "--data", str(self._folder / "table")],
            {},
            f"http://127.0.0.1:{port}",
        )
        self.proxy = await self._exit.enter_async_context(
            FaultProxy(f"http://127.0.0.1:{port}", seed=self.random.getrandbits(32))
        )
        for index in range(2):
            await self._add_gateway(index)

    async def _end_sandboxes(self) -> None:
        self.sandboxes.kill_all()
        if self._keep and self.disk.mounted:
            await asyncio.to_thread(
                shutil.copytree, self.disk.root, self._folder / "kept-sandboxes", symlinks=True
            )
        await self.disk.unmount()

    async def _child(self, name: str, argv: Sequence[str], env: Mapping[str, str], ready: str) -> Child:
        child = Child(name, argv, {**os.environ, **env}, self._folder / f"{name}.log", ready)
        self._exit.push_async_callback(child.end)
        await child.start()
        return child

    async def _add_gateway(self, index: int) -> None:
        port, broker_port = free_port(), free_port()
        env = {
            **self._secrets,
            "VF_STACK": "chaos",
            "VF_HOST": "127.0.0.1",
            "VF_PORT": str(port),
            "VF_BROKER_PORT": str(broker_port),
            "VF_DRIVER": "process",
            "VF_PROCESS_ROOT": str(self.disk.root),
            "VF_DYNAMODB_ENDPOINT": self.proxy.url,
            "VF_TABLE": "chaos",
            "VF_TABLE_CREATE": "true",
            "VF_BLOBS": f"folder:{self._blobs.resolve()}",
            **OF_ONE_TEAM,
            **self._settings,
        }
        ready = f"http://127.0.0.1:{port}/api/health"
        self.gateways.append(
            await self._child(f"gateway-{index}", [sys.executable, "-m", "gateway"], env, ready)
        )
        self.urls.append(f"http://127.0.0.1:{port}")
        self.broker_ports.append(broker_port)

    # -- what a target has --
    @property
    def faults(self) -> Mapping[str, Fault]:
        """Gateways, the store, sandboxes and their disk, each broken in the ways that production breaks them."""
        return process_faults(self)

    def url(self) -> str:
        """Any gateway, dead ones too: the reader finds out."""
        return random.choice(self.urls)

    def token(self, user: str) -> str:
        """A token of this deployment."""
        return mint(user, 6 * 3600, secret=self._secrets["VF_JWT_SECRET"])

    @property
    def sandbox_secret(self) -> str:
        """What the sandboxes' tokens are derived from."""
        return self._secrets["VF_SANDBOX_SECRET"]

    async def written(self, session: str, run: str) -> list[bytes] | None:
        """See `Target`."""
        return self.sandboxes.log(session, run)

    async def leftovers(self, sessions: Sequence[str]) -> list[str]:
        """See `Target`; here nobody else has sandboxes, so all that there is counts, locks too."""
        files = [path.name for path in self.disk.root.iterdir() if path.name != ".locks"]
        locks = [path.name for path in (self.disk.root / ".locks").glob("*")]
        return [
            *(f"folder {name}" for name in files),
            *(f"lock {name}" for name in locks),
            *(f"blob {path.name}" for path in self._blobs.rglob("*") if path.is_file()),
            *(f"process {pid}" for pid in self.sandboxes.processes()),
        ]

    async def asleep(self, session: str) -> bool:
        """See `Target`."""
        return not self.sandboxes.pid(session)

    async def gauges(self) -> Mapping[str, Gauge]:
        """See `Target`."""
        proc = Path(f"/proc/{self.gateways[0].pid}")
        return {"gateway": Gauge.of((proc / "status").read_text(), len(list((proc / "fd").iterdir())))}

    async def restart(self, number: int) -> None:
        """See `Target`."""
        other = self.gateways[1]
        await other.end(signal.SIGTERM if number % 2 else signal.SIGKILL)
        await other.start()
