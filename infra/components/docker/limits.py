"""What each part of a stack may take of its machine: memory and open files, and the processes that it may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker

from infra.own import StackResource


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`memory_mb`: MiB, tmpfs included; what goes past them is killed and started again. `files`: open ones of a
    process. `swap`: whether the engine can keep a container from swapping; one that cannot would make -1 of it."""

    memory_mb: int
    files: int
    swap: bool = True

    def arguments(self) -> dict[str, Any]:
        """Of `docker.Container`. No core files: they would hold keys."""
        return {
            "memory": self.memory_mb,
            "memory_swap": self.memory_mb if self.swap else -1,
            "ulimits": [
                docker.ContainerUlimitArgs(name="nofile", soft=self.files, hard=self.files),
                docker.ContainerUlimitArgs(name="core", soft=0, hard=0),
            ],
        }


class ProcessLimits(StackResource):
    """How many processes and threads each of the containers may have: `ids` by name. The docker provider has no input
    for it, and `ulimits` would count all of a user's on the machine, and none of root's."""

    def __init__(
        self,
        name: str,
        *,
        ids: Mapping[str, pulumi.Input[str]],
        pids: int,
        docker_host: str,
        opts: pulumi.ResourceOptions,
    ) -> None:
        props = {"containers": dict(ids), "pids": pids, "dockerHost": docker_host}
        super().__init__("ProcessLimits", name, props, opts)
