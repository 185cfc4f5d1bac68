"""The engine's machine: what it has, and whether what a stack may take of it fits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import docker
import pulumi

from infra.components.docker.engine.subnets import check_subnets, networks_of, read_routes
from infra.config import Settings, host_of
from infra.values import ConfigError

MIB = 1024 * 1024

LEAST = 256
"""Least MiB of a sandbox, as infra/config.py takes it."""

DATA_FOLDER = "/var/lib/docker"
"""Where an engine has its data unless it is told otherwise."""

ANSWER_SECONDS = 10
"""How long the engine may take to tell. One that does not is not judged: what follows says that better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`memory_mb`: MiB of the whole machine. `platform`: what images are built for, as `linux/arm64`. `runtimes`: names
    of those that its engine knows; None, as for `platform`, where it does not tell. `networks`: its
    subnets besides sandboxes', and what each is. `data_folder`: where its engine has its data. The rest: whether its
    kernel lets the engine limit these."""

    memory_mb: int
    cpus: int
    platform: str | None = None
    runtimes: frozenset[str] | None = None
    data_folder: str = DATA_FOLDER
    limits_memory: bool = True
    limits_swap: bool = True
    limits_pids: bool = True
    networks: Mapping[str, str] = field(default_factory=dict)


def machine_of(docker_host: str) -> Machine | None:
    """The machine of the engine at `docker_host` (empty: the environment's); None where it does not answer."""
    environment = {**os.environ, "DOCKER_HOST": docker_host} if docker_host else dict(os.environ)
    try:
        client = docker.from_env(environment=environment, use_ssh_client=True, timeout=ANSWER_SECONDS)
        try:
            info, version, networks = client.info(), client.version(), client.api.networks()
        finally:
            client.close()
    except (docker.errors.DockerException, OSError):
        return None
    return Machine(
        memory_mb=info["MemTotal"] // MIB,
        cpus=info["NCPU"],
        platform=f"{version['Os']}/{version['Arch']}",
        runtimes=frozenset(info["Runtimes"]) if info.get("Runtimes") else None,
        data_folder=info.get("DockerRootDir") or DATA_FOLDER,
        limits_memory=bool(info.get("MemoryLimit", True)),
        limits_swap=bool(info.get("SwapLimit", True)),
        limits_pids=bool(info.get("PidsLimit", True)),
        networks=networks_of(
            networks, info, "" if host_of(environment.get("DOCKER_HOST", "")) else read_routes()
        ),
    )


def check_machine(settings: Settings, machine: Machine) -> None:
    """Warn of what only matters when all is used at once. Raises `ConfigError` for a limit that none could reach, for
    it would not be one, for a runtime that no sandbox could have, and for sandboxes' networks that others have."""
    memory = memory_of(settings)
    for key, megabytes in memory.items():
        if megabytes > machine.memory_mb:
            raise ConfigError(
                f"vaporforge:{key} is {megabytes}; the Docker engine's machine has {machine.memory_mb} MiB in all, so "
                f"it must be less, or dockerHost a larger machine (docs/limits.md says what each part needs)"
            )
    runtime = settings.sandbox_runtime
    if runtime and machine.runtimes is not None and runtime not in machine.runtimes:
        raise ConfigError(
            f"vaporforge:sandboxRuntime is {runtime!r}; the Docker engine knows {', '.join(sorted(machine.runtimes))}: "
            "add it to the engine's daemon.json, or leave the key out"
        )
    check_subnets(settings, machine.networks)
    for warning in _warnings(settings, machine):
        pulumi.log.warn(warning)


def memory_of(settings: Settings) -> dict[str, int]:
    """MiB that one container of each part may have, by the key that says so; the table's and the forward
    proxy's only where they are here."""
    found = {
        "gatewayMemoryMb": settings.gateway_memory_mb,
        "proxyMemoryMb": settings.proxy_memory_mb,
        "launcherMemoryMb": settings.launcher_memory_mb,
        "sandboxMemoryMb": settings.sandbox_memory_mb,
    }
    if settings.egress != "none":
        found["egressMemoryMb"] = settings.egress_memory_mb
    return found | ({"tableMemoryMb": settings.table_memory_mb} if settings.dynamodb == "local" else {})


def room_of(settings: Settings, machine: Machine) -> int:
    """MiB for sandboxes, beside the stack's own parts when these take all that they may; negative where there is
    none."""
    more = (settings.gateway_replicas - 1) * settings.gateway_memory_mb
    return machine.memory_mb - (sum(memory_of(settings).values()) + more - settings.sandbox_memory_mb)


def volumes_of(settings: Settings, machine: Machine | None) -> str:
    """The folder of the engine's machine that its volumes are in; empty where nobody is to look at it."""
    if not (settings.sandbox_disk_mb or settings.sandbox_inodes or settings.disk_reserve_percent):
        return ""
    return f"{(machine.data_folder if machine is not None else DATA_FOLDER).rstrip('/')}/volumes"


def _warnings(settings: Settings, machine: Machine) -> Iterator[str]:
    room = room_of(settings, machine)
    parts = machine.memory_mb - room
    if room < settings.sandbox_memory_mb:
        smaller = f"sandboxMemoryMb to {room} or less"
        yield (
            f"vaporforge:sandboxMemoryMb is {settings.sandbox_memory_mb}, and the stack's own parts may take {parts} "
            f"MiB: more than the {machine.memory_mb} MiB of the Docker engine's machine. When all is used at once "
            f"sandboxes are killed; set {smaller if room >= LEAST else 'gatewayReplicas or gatewayMemoryMb lower'}"
        )
    elif (size := settings.pool.largest) and (pool := (size + 1) * settings.sandbox_memory_mb) > room:
        key = "poolSize is" if size == settings.pool_size else "poolSchedule goes up to"
        yield (
            f"vaporforge:{key} {size}: with one more they may take {pool} MiB together, and beside "
            f"the stack's own parts the Docker engine's machine has {room} MiB. One that waits takes some 60 MiB; when "
            "all are used at once sandboxes are killed"
        )
    if settings.sandbox_cpus > machine.cpus:
        yield (
            f"vaporforge:sandboxCpus is {settings.sandbox_cpus:g}, and the Docker engine's machine has {machine.cpus}: "
            "a sandbox gets all of them"
        )
    if not machine.limits_memory:
        yield (
            "the Docker engine cannot limit memory (docker info), so one sandbox can take the whole machine's: boot "
            "its kernel with cgroup_enable=memory"
        )
    if not machine.limits_pids:
        yield (
            "the Docker engine cannot limit processes (docker info), so vaporforge:sandboxPids and partPids hold "
            "nobody: its kernel wants the pids cgroup"
        )
