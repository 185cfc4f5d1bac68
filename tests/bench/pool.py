"""A crowd of sessions that have no sandbox yet: with a pool, without one, and the engine's own start beside both."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import docker

from gateway.config import Settings
from gateway.ids import new_id
from gateway.launcher import spec
from gateway.sandboxes.drivers.docker import DockerDriver
from gateway.sandboxes.pool.driver import PooledDriver
from gateway.sandboxes.pool.keeper import Keeper
from gateway.store.dynamo import DynamoStore
from tests.bench.processes import SECRET, process, wait_open
from tests.conftest import free_port
from tests.gateway.sandboxes.drivers.docker_bench import POOL, build

FILL_SECONDS: Final = 600.0
QUIET_SECONDS: Final = 3.0
"""Between two measurements: what the one before has begun (agents, volumes) is over by then."""

WAYS: Final = ("pool", "no pool", "docker run")


async def race(folder: Path, endpoint: str, *, sessions: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds until each of `sessions` that ask at once has a sandbox that answers as its own (`pool`,
    `no pool`), and until the engine has started an empty container for each (`docker run`)."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    async with _stack(folder, endpoint, sessions) as (api, image, store, pooled, plain):
        keeper = Keeper(pooled._settings, store, pooled._driver, pooled.members)
        for _ in range(rounds):
            await _filled(keeper, store, sessions)
            found["pool"] += await _ready(pooled, sessions)
            missed = pooled.members.missed
            found["no pool"] += await _ready(plain, sessions)
            found["docker run"] += await _empty(api, image, sessions)
            if missed:
                raise RuntimeError(f"{missed} sessions found no member: a pool of {sessions} was not enough")
        await keeper.close()
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@contextlib.asynccontextmanager
async def _stack(
    folder: Path, endpoint: str, size: int
) -> AsyncIterator[tuple[docker.APIClient, str, DynamoStore, PooledDriver, DockerDriver]]:
    image = await asyncio.to_thread(build, "vaporforge-bench-agent", "container/Dockerfile", "container")
    stack, port, log = f"bench-{new_id()}", free_port(), folder / "launcher.log"
    api = docker.APIClient(version="auto", max_pool_size=size)
    settings = Settings(
        stack=stack,
        jwt_secret=SECRET,
        sandbox_secret=SECRET,
        credential_key=SECRET,
        launcher_secret=SECRET,
        launcher_url=f"http://127.0.0.1:{port}",
        table=stack,
        table_create=True,
        dynamodb_endpoint=endpoint,
        pool_size=size,
        start_seconds=300.0,
    )
    environ = {
        "PATH": os.environ["PATH"],
        "VF_STACK": stack,
        "VF_LAUNCHER_SECRET": SECRET,
        "VF_SANDBOX_SECRET": SECRET,
        "VF_SANDBOX_IMAGE": image,
        "VF_SANDBOX_NETWORKS": POOL,
        "VF_SANDBOX_FROM_HOST": "true",
        "VF_SANDBOX_MEMORY_MB": "256",
        "VF_HOST": "127.0.0.1",
        "VF_PORT": str(port),
        **{name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ},
    }
    store = DynamoStore(settings)
    try:
        async with process([sys.executable, "-m", "gateway.launcher"], log, environ):
            await wait_open(port, log)
            await store.open()
            pooled, plain = PooledDriver(settings, store, DockerDriver(settings)), DockerDriver(settings)
            yield api, image, store, pooled, plain
            await pooled.close()
            await plain.close()
    finally:
        await store.close()
        await asyncio.to_thread(_remove_all, api, stack)
        api.close()


async def _filled(keeper: Keeper, store: DynamoStore, size: int) -> None:
    async with asyncio.timeout(FILL_SECONDS):
        while True:
            await keeper.round()
            members = await store.pool.members()
            if len(members) == size and all(member.ready for member in members):
                break
            await asyncio.sleep(0.2)
    await keeper.round()  # what every gateway's own does each two seconds: it knows who is ready
    await asyncio.sleep(QUIET_SECONDS)


async def _ready(driver: PooledDriver | DockerDriver, sessions: int) -> list[float]:
    names = [new_id() for _ in range(sessions)]
    found = await _timed([lambda name=name: driver.ensure(name) for name in names])  # type: ignore[misc]
    await asyncio.sleep(QUIET_SECONDS)
    for name in names:
        await driver.delete(name)
    await asyncio.sleep(QUIET_SECONDS)
    return found


async def _empty(api: docker.APIClient, image: str, count: int) -> list[float]:
    """The least that a container costs: no network, no volume, nothing that has to answer."""
    made: list[str] = []

    def start() -> None:
        config = api.create_host_config(network_mode="none")
        container = api.create_container(
            image, ["sleep", "60"], entrypoint=[], host_config=config, labels={"vaporforge-bench": "empty"}
        )
        made.append(container["Id"])
        api.start(container["Id"])

    try:
        return await _timed([lambda: asyncio.to_thread(start)] * count)
    finally:
        for container in made:
            await asyncio.to_thread(api.remove_container, container, force=True, v=True)
        await asyncio.sleep(QUIET_SECONDS)


async def _timed(works: Sequence[Callable[[], Awaitable[object]]]) -> list[float]:
    """Milliseconds of each, all begun at once."""
    begun = time.perf_counter()

    async def one(work: Callable[[], Awaitable[object]]) -> float:
        await work()
        return (time.perf_counter() - begun) * 1000

    return list(await asyncio.gather(*(one(work) for work in works)))


def _remove_all(api: docker.APIClient, stack: str) -> None:
    filters = {"label": [f"{spec.STACK_LABEL}={stack}"]}
    for container in api.containers(all=True, filters=filters):
        api.remove_container(container["Id"], force=True, v=True)
    for volume in api.volumes(filters=filters)["Volumes"] or ():
        api.remove_volume(volume["Name"])
    for network in api.networks(filters=filters):
        api.remove_network(network["Id"])
