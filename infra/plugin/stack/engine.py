"""The Docker engine of a resource that names it, and what these types have in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import docker

from infra.plugin.properties import Properties

MOVED: Final = "__provider"
"""What a state of VaporForge 0.20 has for these types: pickled code. An update, in place, takes it out."""


@contextmanager
def engine(properties: Properties) -> Iterator[docker.DockerClient]:
    """The engine at `dockerHost`; empty is the one of the environment."""
    host = properties.get("dockerHost")
    # The variables for TLS hold for a host that the stack names as well.
    environment = {**os.environ, "DOCKER_HOST": host} if host else dict(os.environ)
    client = docker.from_env(environment=environment, use_ssh_client=True)
    try:
        yield client
    finally:
        client.close()
