"""The agent's image by itself, as anybody may run it: its health check, its user, its workspace, its first process."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.gateway.sandboxes.drivers.docker_bench import agent_image

__all__ = ["agent_image"]

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.timeout(300)]

SECONDS = 120.0
SECOND = 1_000_000_000
"""In the engine's nanoseconds."""


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def sandbox(engine: docker.DockerClient, agent_image: str) -> Iterator[Container]:
    """With the image's own health check, asked more often and believed at once."""
    container = engine.containers.run(
        agent_image,
        detach=True,
        environment={"VF_SESSION": "s", "VF_SANDBOX_TOKEN": secrets.token_hex(16)},
        healthcheck={"interval": SECOND // 2, "retries": 1},
    )
    yield container
    container.remove(force=True, v=True)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {SECONDS:g} s for {what}"
        time.sleep(0.1)


def run(container: Container, *argv: str) -> tuple[int, str]:
    """Exit code and output of a command in the container, as the image's user."""
    code, output = container.exec_run(list(argv))
    assert code is not None
    assert isinstance(output, bytes)
    return code, output.decode()


def made_as(container: Container) -> dict[str, Any]:
    """The configuration of the container's image."""
    assert container.image is not None
    found: dict[str, Any] = container.image.attrs["Config"]
    return found


def health(container: Container) -> str:
    container.reload()
    told: str = container.attrs["State"]["Health"]["Status"]
    return told


def processes(container: Container) -> dict[int, str]:
    """By pid, the `/proc/<pid>/stat` of everything in the container, from the state on: `S 1 …` (proc(5))."""
    _, output = run(container, "sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null")
    return {
        int(line.split(" ", 1)[0]): line.rpartition(") ")[2] for line in output.splitlines() if ") " in line
    }


def test_its_health_check_tells_whether_the_agent_server_answers(sandbox: Container) -> None:
    probe = made_as(sandbox)["Healthcheck"]
    assert probe["Test"][0] == "CMD"
    assert probe["Timeout"] < probe["Interval"]
    until(lambda: health(sandbox) == "healthy", "a healthy container")
    for name, told in (("STOP", "unhealthy"), ("CONT", "healthy")):
        code, output = run(sandbox, "sh", "-c", f"kill -{name} $(cat /proc/1/task/1/children)")
        assert code == 0, output
        until(lambda told=told: health(sandbox) == told, f"{told} after SIG{name}")  # type: ignore[misc]


def test_its_user_has_no_rights_and_owns_the_workspace(sandbox: Container) -> None:
    assert made_as(sandbox)["User"] == "agent"
    _, told = run(sandbox, "sh", "-c", "id -u; id -G; grep -E '^(Uid|CapEff)' /proc/1/status")
    uid, groups, uids, capabilities = told.splitlines()
    assert uid != "0"
    assert groups == uid
    assert uids.split()[1:] == [uid] * 4
    assert int(capabilities.split()[1], 16) == 0
    for folder in ("/workspace", "/home/agent"):
        assert run(sandbox, "touch", f"{folder}/x") == (0, ""), folder
    for folder in ("/", "/etc", "/usr/bin", "/opt/venv/bin", "/opt/vaporforge/container"):
        code, output = run(sandbox, "touch", f"{folder}/x")
        assert code != 0, folder
        assert "Permission denied" in output


def test_an_orphan_is_taken_in_and_leaves_no_zombie(sandbox: Container) -> None:
    until(lambda: health(sandbox) == "healthy", "a healthy container")
    # Its parent ends at once, and so does the parent's.
    code, output = run(sandbox, "sh", "-c", "(sleep 1000 >/dev/null 2>&1 & echo $!)")
    assert code == 0
    orphan = int(output)
    assert processes(sandbox)[orphan].split()[1] == "1"
    assert run(sandbox, "sh", "-c", f"kill -KILL {orphan}") == (0, "")
    until(lambda: orphan not in processes(sandbox), "the orphan's end")
    until(
        lambda: not any(state.startswith("Z") for state in processes(sandbox).values()),
        "no zombie",
    )
    assert health(sandbox) == "healthy"


def test_git_is_there_for_whichever_agent(sandbox: Container) -> None:
    code, output = run(sandbox, "git", "-C", "/workspace", "init", "-q", ".")
    assert (code, output) == (0, "")
