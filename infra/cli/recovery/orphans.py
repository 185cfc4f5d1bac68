"""What of a stack is on the Docker engine and unknown to Pulumi: a run was killed before it could write it down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import docker
from docker.models.containers import Container
from docker.models.networks import Network
from docker.models.volumes import Volume

from infra.components.docker.labels import ROLE, STACK

VOLUME: Final = "docker:index/volume:Volume"

STOP_SECONDS: Final = 30
"""What a gateway gets to send its streams elsewhere."""

NOT_NOW: Final = frozenset({403, 404, 409})
"""Gone already, its removal is another's, or it is in use."""


@dataclass(frozen=True, slots=True)
class Known:
    """What Pulumi's state says of a stack. `ids`: of what there is. `volumes`: those among them that hold its data.
    `pending`: names of what was being made when the state was written; each ends in random digits."""

    ids: frozenset[str]
    volumes: frozenset[str]
    pending: frozenset[str]

    @classmethod
    def of(cls, deployment: Mapping[str, Any]) -> Known:
        """`deployment`: as the stack is exported."""
        resources = [item for item in deployment.get("resources") or [] if item.get("id")]
        pending = [
            item["resource"]
            for item in deployment.get("pending_operations") or []
            if item.get("type") == "creating"
        ]
        return cls(
            ids=frozenset(str(item["id"]) for item in resources),
            volumes=frozenset(str(item["id"]) for item in resources if item["type"] == VOLUME),
            pending=frozenset(
                str(item["inputs"]["name"]) for item in pending if (item.get("inputs") or {}).get("name")
            ),
        )


def remove_orphans(
    stack_id: str,
    known: Known,
    host: str,
    environ: Mapping[str, str],
    *,
    look: Callable[[], Known],
    volumes: bool = False,
) -> list[str]:
    """Take them away from the engine at `host` (empty: the one of `environ`); what was taken away. Sandboxes and their
    networks stay: they are the launcher's. `volumes`: any unknown one of the stack; else only one that was being made,
    and holds nothing. `look`: gives what the state says later, once it is seen what there is: another run may have
    begun to make it.

    Where the engine has no volume that the state knows, or unknown containers have unknown volumes, its labels are
    those of another deployment with this name: only what was being made is taken then. Nothing on an engine that does
    not answer: what follows says that better."""
    environment = {**environ, "DOCKER_HOST": host} if host else dict(environ)
    removed: list[str] = []
    try:
        client = docker.from_env(environment=environment, use_ssh_client=True, timeout=STOP_SECONDS * 2)
        try:
            found = list(_orphans(client, stack_id, known, volumes=volumes))
            later = look() if found else known
            for item in found:
                pending = item.name in known.pending or item.name not in later.pending
                if item.id not in later.ids and pending and _remove(item):
                    removed.append(f"{type(item).__name__.lower()} {item.name}")
        finally:
            client.close()
    except (docker.errors.DockerException, OSError):
        pass
    return removed


def _orphans(
    client: docker.DockerClient, stack_id: str, known: Known, *, volumes: bool
) -> Iterator[Container | Network | Volume]:
    labelled: dict[str, Any] = {"label": f"{STACK}={stack_id}"}
    there = client.volumes.list(filters=labelled)
    containers = client.containers.list(all=True, filters=labelled, ignore_removed=True)
    parts = [item for item in containers if item.labels.get(ROLE) != "sandbox"]
    data = [item for item in there if (item.attrs.get("Labels") or {}).get(ROLE) in {"table", "blobs"}]

    def unknown(items: Iterable[Any]) -> list[Any]:
        return [item for item in items if item.id not in known.ids]

    strange = {item.name for item in unknown(data) if item.name not in known.pending}
    used = {mount.get("Name") for item in unknown(parts) for mount in item.attrs.get("Mounts") or []}
    ours = any(item.name in known.volumes for item in there) and not strange & used

    def orphaned(items: Iterable[Any], *, by_label: bool) -> list[Any]:
        return [item for item in unknown(items) if item.name in known.pending or (ours and by_label)]

    yield from orphaned(parts, by_label=True)
    networks = client.networks.list(filters=labelled)
    own = [item for item in networks if (item.attrs.get("Labels") or {}).get(ROLE) != "sandbox"]
    yield from orphaned(own, by_label=True)
    yield from orphaned(data, by_label=volumes)


def _remove(item: Container | Network | Volume) -> bool:
    """Whether it is gone by this."""
    try:
        if isinstance(item, Container):
            item.stop(timeout=STOP_SECONDS)
            item.remove(force=True, v=True)
        else:
            item.remove()
    except docker.errors.APIError as error:
        if error.status_code not in NOT_NOW:
            raise
        return False
    return True
