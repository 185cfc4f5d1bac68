"""What the commands ask of the Docker engine that a stack is deployed to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import docker

IMAGE: Final = "docker:index/image:Image"


def lost_images(
    resources: Sequence[Mapping[str, Any]], host: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """URN and name of each image among a state's resources that is no longer on the engine at `host` (empty: the one
    of `environ`). One that was pushed is in its registry, whatever the engine has. None of an engine that does not
    answer: what follows says that better."""
    names = {
        str(item["urn"]): str(item["inputs"]["imageName"])
        for item in resources
        if item["type"] == IMAGE and not item.get("delete") and item["inputs"].get("skipPush")
    }
    if not names:
        return {}
    environment = {**environ, "DOCKER_HOST": host} if host else dict(environ)
    try:
        client = docker.from_env(environment=environment, use_ssh_client=True)
        try:
            return {urn: name for urn, name in names.items() if not _is_there(client, name)}
        finally:
            client.close()
    except (docker.errors.DockerException, OSError):
        return {}


def _is_there(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except docker.errors.ImageNotFound:
        return False
    return True
