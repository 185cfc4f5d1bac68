"""What a machine cannot hold is refused at preview, and what it can barely hold is said, both by name."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import docker
import pulumi
import pytest

from infra.components.docker.machine import Machine, machine_of
from infra.program import program
from infra.values import ConfigError
from tests.infra.mocked import Program, run

ROOMY = Machine(memory_mb=32_000, cpus=16)


def declared(machine: Machine | None, config: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings of a program that is not refused."""
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, *_: told.append(text))
    assert isinstance(run(program, config, machine=machine), Program)
    return told


@pytest.mark.parametrize("key", ["gatewayMemoryMb", "proxyMemoryMb", "tableMemoryMb", "sandboxMemoryMb"])
def test_a_limit_that_is_more_than_the_machine_has_is_refused(key: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"^vaporforge:{key} is 32001; .* has 32000 MiB in all, so it must be less"
    ):
        run(program, {key: "32001"}, machine=ROOMY)


def test_a_runtime_that_the_engine_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(memory_mb=32_000, cpus=16, runtimes=frozenset({"runc", "runsc"}))
    with pytest.raises(
        ConfigError, match=r"^vaporforge:sandboxRuntime is 'kata'; .* knows runc, runsc: add it"
    ):
        run(program, {"sandboxRuntime": "kata"}, machine=machine)
    assert declared(machine, {"sandboxRuntime": "runsc"}, monkeypatch) == []
    assert declared(ROOMY, {"sandboxRuntime": "kata"}, monkeypatch) == []


def test_the_table_s_is_nobody_s_where_it_is_in_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"awsAccessKeyId": "a", "awsSecretAccessKey": "b"}
    run(program, {"dynamodb": "aws", "tableMemoryMb": "99999"}, keys, machine=ROOMY)


def test_on_a_machine_with_room_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two gateways, proxy, launcher, table and a sandbox by their defaults, to the MiB.
    exact = Machine(memory_mb=2 * 1024 + 1024 + 256 + 1024 + 2048, cpus=2)
    assert declared(exact, {}, monkeypatch) == []


def test_where_not_all_fits_at_once_it_says_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    [warning] = declared(Machine(memory_mb=6000, cpus=2), {}, monkeypatch)
    assert "vaporforge:sandboxMemoryMb is 2048" in warning
    assert "may take 4352 MiB: more than the 6000 MiB" in warning
    assert warning.endswith("set sandboxMemoryMb to 1648 or less")
    fitting = {"sandboxMemoryMb": "1648"}
    assert declared(Machine(memory_mb=6000, cpus=2), fitting, monkeypatch) == []


def test_where_the_parts_alone_leave_no_room_it_is_they_that_must_shrink(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [warning] = declared(Machine(memory_mb=4000, cpus=2), {}, monkeypatch)
    assert warning.endswith("set gatewayReplicas or gatewayMemoryMb lower")


def test_a_pool_that_does_not_fit_when_all_of_it_is_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = {"poolSize": "2"}
    parts = 2 * 1024 + 1024 + 256 + 1024
    assert declared(Machine(memory_mb=parts + 3 * 2048, cpus=2), pool, monkeypatch) == []
    [warning] = declared(Machine(memory_mb=parts + 3 * 2048 - 1, cpus=2), pool, monkeypatch)
    assert warning.startswith("vaporforge:poolSize is 2: with one more they may take 6144 MiB together")
    busy = {**pool, "poolSchedule": "Mon 08:00-18:00 UTC 3"}
    [warning] = declared(Machine(memory_mb=parts + 4 * 2048 - 1, cpus=2), busy, monkeypatch)
    assert warning.startswith("vaporforge:poolSchedule goes up to 3: with one more they may take 8192 MiB")


def test_more_processors_than_there_are_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    [warning] = declared(ROOMY, {"sandboxCpus": "17"}, monkeypatch)
    assert warning.startswith("vaporforge:sandboxCpus is 17, and the Docker engine's machine has 16")


def test_an_engine_that_cannot_limit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = Machine(memory_mb=32_000, cpus=16, limits_memory=False, limits_pids=False)
    memory, pids = declared(blind, {}, monkeypatch)
    assert "cgroup_enable=memory" in memory
    assert "sandboxPids" in pids


def test_a_stack_that_goes_down_and_an_engine_that_is_away_are_not_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert declared(None, {"sandboxMemoryMb": "999999"}, monkeypatch) == []
    assert declared(ROOMY, {"sandboxMemoryMb": "999999", "running": "false"}, monkeypatch) == []


def test_what_the_engine_tells_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    info: dict[str, Any] = {"MemTotal": 2 * 1024**3 + 5, "NCPU": 3, "MemoryLimit": True, "SwapLimit": False}
    asked: dict[str, Any] = {}

    def from_env(**given: Any) -> Any:
        asked.update(given)
        version = {"Os": "linux", "Arch": "arm64"}
        api = SimpleNamespace(networks=list)
        return SimpleNamespace(info=lambda: info, version=lambda: version, api=api, close=lambda: None)

    monkeypatch.setattr(docker, "from_env", from_env)
    told = Machine(memory_mb=2048, cpus=3, platform="linux/arm64", limits_swap=False)
    assert machine_of("tcp://there:2376") == told
    info["Runtimes"] = {"runc": {"path": "runc"}}
    assert machine_of("tcp://there:2376") == replace(told, runtimes=frozenset({"runc"}))
    assert asked["environment"]["DOCKER_HOST"] == "tcp://there:2376"


def test_an_engine_that_does_not_answer_has_no_machine() -> None:
    assert machine_of("tcp://127.0.0.1:1") is None
