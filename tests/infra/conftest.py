"""What tests of the deployment may ask for: the program's declarations, run once for each configuration."""

from __future__ import annotations

import docker
import pytest

from infra.program import program
from tests.infra.mocked import Program, run

AWS_SECONDS = 300
"""A worker's first program of the aws target imports pulumi-aws, which takes seconds, or a minute where much else is
on; one that is broken off in that leaves Pulumi's loop in no state for the tests behind it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """More time for who may come first to a program of the aws target."""
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item.module, "aws_program"):
            item.add_marker(pytest.mark.timeout(AWS_SECONDS))


@pytest.fixture(scope="session")
def declared() -> Program:
    """What a stack without any configuration declares."""
    return run(program)


@pytest.fixture(autouse=True)
def no_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test never meets this machine's engine: with one or without, it shows the same."""

    def away(**_: object) -> object:
        raise docker.errors.DockerException("a unit test has no engine")

    if request.node.get_closest_marker("e2e") is None:
        monkeypatch.setattr(docker, "from_env", away)
