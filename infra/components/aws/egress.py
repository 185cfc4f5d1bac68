"""The forward proxy of sandboxes' egress: a container beside the gateway in each gateway's task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from infra.components.aws.tasks import environment

CONTAINER: Final = "egress"

PORT: Final = 4750

ADDRESS: Final = f"127.0.0.1:{PORT}"
"""Containers of a task share its network interface; no security group lets anybody else in at this port."""

USER: Final = "1000:1000"
"""The image's (infra/egress/Dockerfile)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressArgs:
    """`image`: by digest. `upstream_proxy`: a company's own, or empty. `tunnels`: the most at once. `files`: open at
    once. `logs`: a container's `logConfiguration`."""

    image: pulumi.Output[str]
    memory_mb: int
    upstream_proxy: str
    tunnels: int
    files: int
    logs: Mapping[str, Any]


def egress_container(args: EgressArgs) -> dict[str, Any]:
    """Its definition. It has the gateway's role within its reach, and uses it for nothing: it goes to no address that
    is not public, the task's own credentials' least of all."""
    return {
        "name": CONTAINER,
        "image": args.image,
        "essential": True,
        "user": USER,
        "memory": args.memory_mb,
        "readonlyRootFilesystem": True,
        "environment": environment(
            {"VF_UPSTREAM_PROXY": args.upstream_proxy, "VF_TUNNELS": str(args.tunnels)}
        ),
        # ECS does not read the image's own.
        "healthCheck": {
            "command": ["CMD", "healthy"],
            "interval": 10,
            "timeout": 5,
            "retries": 3,
            "startPeriod": 30,
        },
        "linuxParameters": {"capabilities": {"drop": ["ALL"]}},
        "ulimits": [{"name": "nofile", "softLimit": args.files, "hardLimit": args.files}],
        "logConfiguration": args.logs,
    }
