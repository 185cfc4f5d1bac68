"""The pool on every driver: its own suite; and the drivers' suite through it, on processes and on containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.sandboxes.drivers.docker_bench import DockerBench, agent_image
from tests.gateway.sandboxes.drivers.driver_conformance import DriverConformance, probe, session
from tests.gateway.sandboxes.drivers.ecs_bench import EcsBench, ministack
from tests.gateway.sandboxes.drivers.test_drivers import ProcessBench
from tests.gateway.sandboxes.pool.pool_bench import PoolBench
from tests.gateway.sandboxes.pool.pool_conformance import PoolConformance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.aws.cloud.ministack import Cloud

__all__ = ["agent_image", "ministack", "probe", "session"]


@pytest.fixture
async def bench(pool: PoolBench) -> PoolBench:
    """What `probe` and `session` want."""
    return pool


class OnProcesses:
    """Sandboxes as processes."""

    @pytest.fixture
    async def pool(self, tmp_path: Path, dynamodb_endpoint: str) -> AsyncIterator[PoolBench]:
        inner = ProcessBench(tmp_path / "root")
        async with PoolBench(inner, dynamodb_endpoint) as pool:
            yield pool
        await inner.close()


class OnDocker:
    """Sandboxes as containers, with two launchers on one real engine."""

    @pytest.fixture
    async def pool(self, agent_image: str, dynamodb_endpoint: str) -> AsyncIterator[PoolBench]:
        async with DockerBench(agent_image) as inner, PoolBench(inner, dynamodb_endpoint) as pool:
            yield pool


class OnEcs:
    """Sandboxes as tasks, on an ECS that starts real containers."""

    @pytest.fixture
    async def pool(
        self, ministack: Cloud, agent_image: str, dynamodb_endpoint: str
    ) -> AsyncIterator[PoolBench]:
        async with EcsBench(ministack, agent_image) as inner, PoolBench(inner, dynamodb_endpoint) as pool:
            yield pool


class Filled:
    """The drivers' suite finds a pool that is full."""

    @pytest.fixture
    async def bench(self, pool: PoolBench) -> PoolBench:
        await pool.fill()
        return pool


class TestPoolOfProcesses(OnProcesses, PoolConformance):
    """Every promise of the pool."""


class TestDriverOnPoolOfProcesses(OnProcesses, Filled, DriverConformance):
    """Every row of the drivers' contract."""


@pytest.mark.docker
@pytest.mark.e2e
@pytest.mark.timeout(600)  # the first one builds the image
class TestPoolOnDocker(OnDocker, PoolConformance):
    """Every promise of the pool."""


@pytest.mark.docker
@pytest.mark.e2e
@pytest.mark.timeout(600)
class TestDriverOnPoolOnDocker(OnDocker, Filled, DriverConformance):
    """Every row of the drivers' contract."""


@pytest.mark.docker
@pytest.mark.e2e
@pytest.mark.timeout(600)
class TestPoolOnEcs(OnEcs, PoolConformance):
    """Every promise of the pool."""
