"""Many sandboxes on one engine, each on a network of its own: what they take to start and to go, and plain containers
beside them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from gateway.ids import new_id
from gateway.launcher import spec
from gateway.launcher.networks import GATEWAY, Networks
from tests.bench.figures import table
from tests.bench.pool import percentile
from tests.gateway.sandboxes.drivers.docker_bench import DockerBench, build

GATEWAYS: Final = 2
LABEL: Final = "vaporforge-bench"

STEPS: Final = ("sandbox start", "sandbox delete", "docker run", "docker rm", "network", "join", "remove")


async def measure(count: int) -> dict[str, list[float]]:
    """Milliseconds of each of `STEPS`, in the order in which they were taken, one after another while all others are
    there: `count` sandboxes until each answers, beside each an empty container of the same image; then their removal;
    and by itself what one network costs: made, joined by two containers that stand for gateways, removed."""
    image = await asyncio.to_thread(build, "vaporforge-bench-agent", "container/Dockerfile", "container")
    found: dict[str, list[float]] = {step: [] for step in STEPS}

    async def timed(step: str, work: Callable[[], Awaitable[Any]]) -> Any:
        begun = time.perf_counter()
        result = await work()
        found[step].append((time.perf_counter() - begun) * 1000)
        return result

    async with _bench(image) as bench:
        driver, sessions, plain = bench.driver(), [new_id() for _ in range(count)], []
        networks = Networks(lambda: bench.api, bench.launcher_settings)
        try:
            for session in sessions:
                await timed("sandbox start", lambda session=session: driver.ensure(session))  # type: ignore[misc]
                plain.append(
                    await timed("docker run", lambda: asyncio.to_thread(_run, bench, image, LABEL, "bridge"))
                )
            for _ in range(min(10, count)):
                one = new_id()
                await timed("network", lambda one=one: asyncio.to_thread(networks.ensure, one))  # type: ignore[misc]
                await timed("join", lambda one=one: asyncio.to_thread(networks.join, one))  # type: ignore[misc]
                await timed("remove", lambda one=one: asyncio.to_thread(networks.remove, one))  # type: ignore[misc]
            for session in sessions:
                await timed("sandbox delete", lambda session=session: driver.delete(session))  # type: ignore[misc]
                await timed("docker rm", lambda: asyncio.to_thread(_remove, bench, plain.pop()))
        finally:
            networks.close()
            for container in plain:
                await asyncio.to_thread(_remove, bench, container)
    return found


def shown(found: dict[str, list[float]], load: str) -> str:
    """A table: of all, of the first ten and of the last ten."""
    rows = []
    for step, took in found.items():
        tens = (took, took[:10], took[-10:])
        rows.append(
            [step, str(len(took)), *(f"{percentile(some, 0.5):.0f}" for some in tens), f"{max(took):.0f}"]
        )
    head = ["milliseconds, p50", "n", "all", "first ten", "last ten", "longest"]
    return table(f"sandboxes on networks of their own, two gateways on each; {load}", head, rows)


@contextlib.asynccontextmanager
async def _bench(image: str) -> AsyncIterator[DockerBench]:
    """With containers that stand for gateways: the launcher knows these by their label."""
    async with DockerBench(image) as bench:
        for _ in range(GATEWAYS):
            await asyncio.to_thread(_run, bench, image, GATEWAY, "bridge")
        yield bench


def _run(bench: DockerBench, image: str, role: str, network: str) -> str:
    """What `docker run` does, with nothing in it."""
    labels = {spec.STACK_LABEL: bench.stack, spec.ROLE_LABEL: role}
    made: str = bench.api.create_container(
        image,
        ["sleep", "3600"],
        entrypoint=[],
        labels=labels,
        healthcheck={"test": ["NONE"]},
        host_config=bench.api.create_host_config(network_mode=network),
    )["Id"]
    bench.api.start(made)
    return made


def _remove(bench: DockerBench, container: str) -> None:
    bench.api.remove_container(container, force=True, v=True)
