"""The agent's image by itself, as anybody may run it: its health check, its user, its workspace, its first process."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from tests.conftest import ROOT
from tests.gateway.sandboxes.drivers.docker_bench import agent_image

__all__ = ["agent_image"]

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.timeout(300)]

SECONDS = 120.0
TRIES = ROOT / "tests/gateway/launcher/tries.py"
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


def run(container: Container, *argv: str, user: str = "") -> tuple[int, str]:
    """Exit code and output of a command in the container, as the image's user unless another is named."""
    code, output = container.exec_run(list(argv), user=user)
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


@pytest.fixture(params=["", "10001:10001"], ids=["as it is", "as its agent from the start"])
def user(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_its_server_and_its_agent_have_no_rights(
    engine: docker.DockerClient, agent_image: str, user: str
) -> None:
    container = engine.containers.run(
        agent_image,
        detach=True,
        user=user,
        environment={"VF_SESSION": "s", "VF_SANDBOX_TOKEN": secrets.token_hex(16)},
        healthcheck={"interval": SECOND // 2, "retries": 1},
    )
    try:
        until(lambda: health(container) == "healthy", "a healthy container")
        until(lambda: len(processes(container)) > 2, "an agent")
        told = "for of in $(ls /proc | grep -E '^[0-9]+$'); do grep -E '^(Name|Uid|CapEff)' /proc/$of/status; done"
        _, output = run(container, "sh", "-c", f"({told}) 2>/dev/null", user="10001")
    finally:
        container.remove(force=True, v=True)
    values = [line.split()[1] for line in output.splitlines()]
    found = {(name, uid): int(rights, 16) for name, uid, rights in zip(*[iter(values)] * 3, strict=True)}
    pythons = {uid: rights for (name, uid), rights in found.items() if name.startswith("python")}
    assert pythons["10001"] == 0
    if not user:  # CAP_KILL, CAP_SETGID, CAP_SETUID
        assert pythons == {"10001": 0, "10002": 0xE0}


def test_where_an_engine_gives_no_profile_its_agent_meets_the_servers_own(
    engine: docker.DockerClient, agent_image: str
) -> None:
    tries = (
        "/opt/venv/bin/python /opt/tries.py >/workspace/tried.new && mv /workspace/tried.new /workspace/tried"
    )
    container = engine.containers.create(
        agent_image,
        environment={
            "VF_SESSION": "s",
            "VF_SANDBOX_TOKEN": secrets.token_hex(16),
            "VF_AGENT": f"sh -c '{tries}; sleep 1000'",
        },
        security_opt=["seccomp=unconfined"],
    )
    try:
        container.put_archive("/opt", packed(TRIES))
        container.start()
        until(lambda: run(container, "test", "-f", "/workspace/tried")[0] == 0, "what was tried")
        tried = json.loads(run(container, "cat", "/workspace/tried")[1])
    finally:
        container.remove(force=True, v=True)
    open_ones = {what: how for what, how in tried["refused"].items() if how not in ("EACCES", "EPERM")}
    assert open_ones == {"clone3": "ENOSYS"}
    assert len(tried["refused"]) > 60
    assert set(tried["allowed"].values()) == {"done"}, tried["allowed"]


def packed(file: Path) -> bytes:
    """A file as the engine takes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(file, file.name)
    return buffer.getvalue()


def test_no_file_of_it_gives_its_owners_rights(sandbox: Container) -> None:
    assert run(sandbox, "find", "/", "-xdev", "-type", "f", "-perm", "/6000") == (0, "")
    code, output = run(sandbox, "sh", "-c", "command -v getcap >/dev/null && getcap -r / 2>/dev/null; true")
    assert (code, output) == (0, "")


def test_its_agent_owns_the_workspace(sandbox: Container) -> None:
    for folder in ("/workspace", "/home/agent"):
        assert run(sandbox, "touch", f"{folder}/x", user="agent") == (0, ""), folder
    for folder in (
        "/",
        "/etc",
        "/usr/bin",
        "/opt/venv/bin",
        "/opt/vaporforge/container",
        "/var/lib/vaporforge",
    ):
        code, output = run(sandbox, "touch", f"{folder}/x", user="agent")
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
