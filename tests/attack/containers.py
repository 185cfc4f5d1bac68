"""Containers that attackers sit in: they hold the forces and nothing else, and are removed by their ids at the end."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

from docker.models.containers import Container
from docker.types import Ulimit

FOLDER = "/opt"
ROOT = "vf-attack"
LABEL = "vaporforge.attack"
LIFE_SECONDS = 7200
"""It ends by itself after this, whatever becomes of whoever made it."""

OPEN_FILES = 20_000
MEMORY = "1g"
CPU_SHARES = 128
"""As little as a sandbox: attackers elsewhere have machines of their own."""

FORCE = Path(__file__).with_name("force")


def attacker(engine: Any, image: str, stack: str, **where: Any) -> Container:
    """A container of the sandboxes' image at `where` (a network, or the namespaces of another one), for forces."""
    made: Container = engine.containers.run(
        image,
        entrypoint=["sleep", str(LIFE_SECONDS)],
        user="0",
        detach=True,
        auto_remove=True,
        labels={LABEL: stack},
        ulimits=[Ulimit(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES)],
        mem_limit=MEMORY,
        cpu_shares=CPU_SHARES,
        healthcheck={"test": ["NONE"]},
        **where,
    )
    made.put_archive(FOLDER, _packed())
    return made


def beside(engine: Any, sandbox: Container, stack: str) -> Container:
    """One that shares a sandbox's network and processes, and may take sockets out of them."""
    return attacker(
        engine,
        str(sandbox.attrs["Image"]),
        stack,
        network_mode=f"container:{sandbox.id}",
        pid_mode=f"container:{sandbox.id}",
        cap_add=["SYS_PTRACE"],
        security_opt=["seccomp=unconfined"],
    )


def place(container: Container) -> tuple[str, ...]:
    """What goes before a command that is to run there."""
    return ("docker", "exec", "-i", "-w", f"{FOLDER}/{ROOT}", "-u", "0", str(container.id))


def _packed() -> bytes:
    """The forces, under the package that they are imported from."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in sorted(FORCE.glob("*.py")):
            archive.add(file, f"{ROOT}/tests/attack/force/{file.name}")
    return buffer.getvalue()
