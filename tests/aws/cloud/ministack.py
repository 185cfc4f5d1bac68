"""A ministack in a container, on a network of its own that its tasks' containers join; nothing of it is left behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import docker
from docker import errors as docker_errors

from gateway.ids import new_id
from tests.gateway.sandboxes.drivers.docker_bench import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT: Final = 4566
START_SECONDS: Final = 60.0
ENGINE_SECONDS: Final = 300
"""How long ministack waits for the engine. A start that it gives up goes on: a container that it knows nothing of."""
CLOUD_LABEL: Final = "vaporforge.test-cloud"
CLUSTER_LABEL: Final = "com.amazonaws.ecs.cluster"
TASK_LABEL: Final = "com.amazonaws.ecs.task-arn"
"""Of the containers that ministack starts for tasks."""

_IMAGE = '. scripts/lib/env.sh; cat "$VF_STATE/ministack-image"'


@dataclass(frozen=True, slots=True)
class Cloud:
    """`url`: of ministack's one port for all services; `network`: what its tasks are on; `name`: its container's."""

    api: docker.APIClient
    name: str
    network: str
    url: str

    def containers(self, cluster: str, **filters: list[str]) -> list[dict[str, Any]]:
        """The engine's containers of a cluster's tasks, ended ones too."""
        wanted = {**filters, "label": [f"{CLUSTER_LABEL}={cluster}", *filters.get("label", ())]}
        found: list[dict[str, Any]] = self.api.containers(all=True, filters=wanted)
        return found


@contextlib.contextmanager
def cloud() -> Iterator[Cloud]:
    """A ministack that answers. `scripts/setup ministack-image` makes its image."""
    image = subprocess.run(
        ["bash", "-euc", _IMAGE], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    name = f"vf-cloud-{new_id()}"
    api = docker.APIClient(version="auto")
    with contextlib.closing(api):
        api.create_network(name, labels={CLOUD_LABEL: name})
        try:
            api.create_container(
                image,
                name=name,
                labels={CLOUD_LABEL: name},
                environment={
                    "IOT_MTLS_ENABLED": "0",
                    "LOG_LEVEL": "INFO",
                    "MINISTACK_DOCKER_TIMEOUT": str(ENGINE_SECONDS),
                },
                host_config=api.create_host_config(
                    network_mode=name, binds={_socket(): {"bind": "/var/run/docker.sock", "mode": "rw"}}
                ),
            )
            api.start(name)
            found = api.inspect_container(name)
            address = found["NetworkSettings"]["Networks"][name]["IPAddress"]
            one = Cloud(api, name, name, f"http://{address}:{PORT}")
            _wait(one)
            yield one
        finally:
            _remove(api, name)


def _socket() -> str:
    """The engine's socket, which is the tests' own."""
    scheme, _, path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
    assert scheme == "unix", "ministack needs the engine's socket: unset DOCKER_HOST"
    return path


def _wait(one: Cloud) -> None:
    deadline, pause = time.monotonic() + START_SECONDS, 0.05
    while True:
        try:
            with urllib.request.urlopen(f"{one.url}/_ministack/health", timeout=2):
                return
        except OSError as error:
            if time.monotonic() > deadline or not one.api.inspect_container(one.name)["State"]["Running"]:
                log = one.api.logs(one.name, tail=20).decode(errors="replace")
                raise RuntimeError(f"ministack does not answer ({error}): {log}") from error
        time.sleep(pause)
        pause = min(0.5, pause * 1.5)


def _remove(api: docker.APIClient, name: str) -> None:
    """ministack first, so that it starts nothing more; then what is on its network."""
    with contextlib.suppress(docker_errors.NotFound):
        api.remove_container(name, force=True, v=True)
    for container in api.containers(all=True, filters={"network": name}):
        with contextlib.suppress(docker_errors.NotFound):
            api.remove_container(container["Id"], force=True, v=True)
    api.remove_network(name)
