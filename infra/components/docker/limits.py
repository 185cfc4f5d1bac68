"""What each part of a stack may take of its machine: memory and open files, and the processes that it may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_docker as docker
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

from infra.portable import placeless, portable


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


class ProcessLimits(Resource, module="vaporforge", name="ProcessLimits"):
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
        super().__init__(process_limits_provider(), name, props, opts)


def process_limits_provider() -> ResourceProvider:
    """Limits at its creation and whenever a container or the number is another; has nothing to delete."""

    # Local, as in infra/cleanup.py: pickled by value.
    def limit(props: dict[str, Any]) -> None:
        import os

        import docker

        host = props.get("dockerHost")
        environment = {**os.environ, "DOCKER_HOST": host} if host else dict(os.environ)
        client = docker.from_env(environment=environment, use_ssh_client=True)
        try:
            api = client.api
            for name, container in sorted(props["containers"].items()):
                # The SDK's own `update_container` does not know this limit, which engines have taken since 19.03.
                url = f"{api.base_url}/v{api.api_version}/containers/{container}/update"
                answer = api.post(url, json={"PidsLimit": int(props["pids"])}, timeout=60)
                if not answer.ok:
                    raise RuntimeError(
                        f"the Docker engine does not limit the processes of {name}: {answer.text.strip()}"
                    )
        finally:
            client.close()

    placeless(limit)

    class ProcessLimitsProvider(ResourceProvider):
        def create(self, props: dict[str, Any]) -> CreateResult:
            import secrets

            limit(props)
            return CreateResult(id_=secrets.token_hex(8), outs=props)

        def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
            return DiffResult(changes=any(olds.get(key) != value for key, value in news.items()))

        def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
            limit(news)
            return UpdateResult(outs=news)

    return portable(ProcessLimitsProvider)
