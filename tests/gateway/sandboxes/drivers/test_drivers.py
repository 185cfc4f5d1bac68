"""The driver conformance suite on the `process` driver, and what is this driver's alone."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from gateway import errors
from gateway.config import Settings
from gateway.sandboxes.agent_client import AgentClient, sandbox_client
from gateway.sandboxes.drivers import SandboxState
from gateway.sandboxes.drivers.process import ProcessDriver
from gateway.sandboxes.drivers.ready import ping
from gateway.sandboxes.snapshots import Snapshots, Taken
from gateway.sandboxes.waking import WakingDriver
from gateway.store.blobs.factory import make_blobs
from tests.gateway.sandboxes.drivers.docker_bench import DockerBench, agent_image
from tests.gateway.sandboxes.drivers.driver_conformance import (
    DriverConformance,
    NamingConformance,
    Probe,
    eventually,
    probe,
    session,
    until_stopped,
)
from tests.gateway.sandboxes.drivers.ecs_bench import EcsBench, ministack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.aws.cloud.ministack import Cloud

__all__ = ["agent_image", "ministack", "probe", "session"]

SETTINGS = Settings(stack="test", jwt_secret="j" * 32, sandbox_secret="s" * 32, credential_key="c" * 32)


class ProcessBench:
    """Drivers on one root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = SETTINGS
        self._drivers: list[ProcessDriver] = []

    def driver(self, **env: str) -> ProcessDriver:
        self._drivers.append(ProcessDriver(self.settings, self.root, env=env))
        return self._drivers[-1]

    def driver_of_failing(self) -> ProcessDriver:
        return self.driver(VF_AGENT="'")

    def pid(self, session: str) -> int:
        return int(json.loads((self.root / session / "state.json").read_text())["pid"])

    async def kill(self, session: str) -> None:
        os.kill(self.pid(session), signal.SIGKILL)

    async def alive(self, session: str) -> int:
        return len(self.processes("VF_PORT_FILE", self.root / session / "port", "-m container"))

    async def leftovers(self, session: str) -> Sequence[str]:
        files = sorted(str(path) for path in self.root.rglob(f"{session}*"))
        return [*files, *map(str, self.processes("HOME", self.root / session / "home"))]

    def processes(self, variable: str, value: Path, command: str = "") -> Sequence[int]:
        """Pids of live processes with this in their environment, and this in their command line."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environ = (process / "environ").read_bytes().split(b"\0")
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it ended just now, or is none of ours
                continue
            if f"{variable}={value}".encode() in environ and f"{command} " in f"{line} ":
                found.append(int(process.name))
        return found

    def agents(self, session: str) -> Sequence[int]:
        return self.processes("HOME", self.root / session / "home", "container.agents.demo")

    async def close(self) -> None:
        for driver in self._drivers:
            await driver.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ProcessBench]:
    bench = ProcessBench(tmp_path / "root")
    yield bench
    await bench.close()


class TestProcessDriver(DriverConformance, NamingConformance):
    """Every row of the contract."""


async def test_nothing_of_the_gateways_environment_enters(
    bench: ProcessBench, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VF_MODEL_API_KEY", "sk-ant-api-secret")
    await bench.driver().ensure(session)
    content = Path(f"/proc/{bench.pid(session)}/environ").read_text()
    environ = dict(item.split("=", 1) for item in content.split("\0") if item)
    assert not {"VF_MODEL_API_KEY", "VF_JWT_SECRET", "VF_SANDBOX_SECRET"} & environ.keys()
    assert "sk-ant-api-secret" not in environ.values()
    assert "ANTHROPIC_API_KEY" not in environ  # the agent server makes the agent's, of this start
    assert environ["VF_START"] == (await bench.driver().status(session)).start
    assert environ["ANTHROPIC_BASE_URL"] == f"http://127.0.0.1:{SETTINGS.broker_port}"


async def test_only_the_sessions_own_agent_server_counts(bench: ProcessBench, session: str) -> None:
    sandbox = await bench.driver().ensure(session)
    async with aiohttp.ClientSession() as http:
        told = await ping(http, sandbox, secret=SETTINGS.sandbox_secret)
        assert told is not None
        assert told["session"] == session
        assert await ping(http, replace(sandbox, session="other"), secret=SETTINGS.sandbox_secret) is None
        assert await ping(http, sandbox, secret="another stack's") is None


async def test_agents_that_outlive_their_server_end_before_the_next_one(
    bench: ProcessBench, session: str
) -> None:
    driver = bench.driver()
    await driver.ensure(session)
    agents = await eventually(lambda: bench.agents(session))
    os.kill(agents[0], signal.SIGSTOP)  # so that it does not notice the end of its stdin
    await bench.kill(session)
    await until_stopped(driver, session)
    assert bench.agents(session) == agents
    await driver.ensure(session)
    assert not set(agents) & set(bench.agents(session))


async def test_one_that_ignores_term_is_killed(
    bench: ProcessBench, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sandboxes.drivers.process.STOP_SECONDS", 0.2)
    driver = bench.driver()
    await driver.ensure(session)
    os.kill(bench.pid(session), signal.SIGSTOP)
    await driver.stop(session)
    stopped = await driver.status(session)
    assert (stopped.state, stopped.lost_reason) == (SandboxState.STOPPED, "")
    assert await bench.alive(session) == 0


async def test_a_pid_that_is_another_process_now_is_left_alone(bench: ProcessBench, session: str) -> None:
    driver = bench.driver()
    await driver.ensure(session)
    await driver.stop(session)
    state = bench.root / session / "state.json"
    record = json.loads(state.read_text())
    state.write_text(json.dumps({**record, "pid": os.getpid(), "ended": None}))
    assert (await driver.status(session)).lost_reason == "exited"
    await driver.stop(session)
    assert (await driver.ensure(session)).state is SandboxState.RUNNING


async def test_one_that_does_not_answer_in_time_is_an_error(bench: ProcessBench, session: str) -> None:
    await bench.driver().ensure(session)
    os.kill(bench.pid(session), signal.SIGSTOP)
    bench.settings = replace(SETTINGS, start_seconds=0.3)
    with pytest.raises(errors.SandboxUnavailable, match=r"did not answer within 0\.3 s"):
        await bench.driver().ensure(session)
    os.kill(bench.pid(session), signal.SIGCONT)
    bench.settings = SETTINGS
    assert (await bench.driver().ensure(session)).state is SandboxState.RUNNING


async def test_another_sandbox_at_the_same_address_is_not_taken_for_ours(
    bench: ProcessBench, probe: Probe, session: str
) -> None:
    driver = bench.driver()
    other = await driver.ensure(f"{session}-other")
    await driver.ensure(session)
    (bench.root / session / "port").write_text(f"{other.port}\n")
    bench.settings = replace(SETTINGS, start_seconds=0.3)
    with pytest.raises(errors.SandboxUnavailable, match="did not answer"):
        await bench.driver().ensure(session)
    await driver.delete(f"{session}-other")


@pytest.mark.docker
@pytest.mark.e2e
@pytest.mark.timeout(600)  # the first one builds the image
class TestDockerDriver(DriverConformance, NamingConformance):
    """Every row of the contract, with two launchers on one real engine."""

    @pytest.fixture
    async def bench(self, agent_image: str) -> AsyncIterator[DockerBench]:
        async with DockerBench(agent_image) as bench:
            yield bench


@pytest.mark.docker
@pytest.mark.e2e
@pytest.mark.timeout(600)  # the first one builds the image
class TestEcsDriver(DriverConformance, NamingConformance):
    """Every row of the contract, on an ECS that starts real containers."""

    @pytest.fixture
    async def bench(self, ministack: Cloud, agent_image: str) -> AsyncIterator[EcsBench]:
        async with EcsBench(ministack, agent_image) as bench:
            yield bench

    async def test_what_a_lost_task_held_comes_back_in_the_next_one(
        self, bench: EcsBench, probe: Probe, session: str
    ) -> None:
        await bench.keep_snapshots()
        blobs = make_blobs(bench.settings)
        assert blobs is not None
        async with sandbox_client() as client:
            snapshots = Snapshots(bench.settings, blobs, AgentClient(client, bench.settings.sandbox_secret))
            driver = WakingDriver(bench.driver(), snapshots)
            sandbox = await driver.ensure(session)
            await probe.write(sandbox, "notes/a.txt", b"kept")
            assert await snapshots.take_between_runs(sandbox) is Taken.DONE
            await bench.kill(session)
            await until_stopped(bench.driver(), session)
            woken = await driver.ensure(session)
            assert await probe.read(woken, "notes/a.txt") == (200, b"kept")
            assert not (await driver.ensure(session)).fresh
            await driver.delete(session)
            assert await blobs.list() == []
            await driver.close()
        await blobs.close()
