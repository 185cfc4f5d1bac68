"""Secrets on a volume of the real engine: who may read them, what inspection shows, what is left."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from infra.config import ROOT
from infra.plugin.diff import diff
from infra.plugin.stack.secretfiles import SecretFilesType
from tests.infra.plugin_client import Plugin, started
from tests.infra.test_plugin import base_image  # noqa: F401 - a fixture

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TYPE = "vaporforge-stack:index:SecretFiles"

OWNER = 10002


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def plugin() -> Iterator[Plugin]:
    with started(ROOT, "stack/pulumi-resource-vaporforge-stack") as plugin:
        yield plugin


@pytest.fixture
def inputs(base_image: str, engine: docker.DockerClient) -> Iterator[dict[str, Any]]:  # noqa: F811 - the fixture
    """Those of a part of a stack of its own, of which nothing may be left."""
    stack = f"vaporforge-secrets-test-{secrets.token_hex(4)}"
    files = {"vf_one": "the first secret", "vf_two": "the second\nsecret\n"}
    yield {
        "stack": stack,
        "part": "gateway",
        "files": files,
        "owner": OWNER,
        "image": base_image,
        "dockerHost": "",
    }
    label: dict[str, Any] = {"label": f"vaporforge.stack={stack}"}
    left: list[Any] = [*engine.volumes.list(filters=label), *engine.containers.list(all=True, filters=label)]
    for item in left:
        item.remove(force=True)
    assert not left


@contextmanager
def reader(engine: docker.DockerClient, inputs: dict[str, Any], volume: str) -> Iterator[Container]:
    """A running container with the volume at /run/secrets, hardened as every part of a stack."""
    container = engine.containers.run(
        inputs["image"],
        ["sleep", "600"],
        detach=True,
        init=True,
        read_only=True,
        cap_drop=["ALL"],
        network_mode="none",
        volumes={volume: {"bind": "/run/secrets", "mode": "ro"}},
    )
    try:
        yield container
    finally:
        container.remove(force=True)


def said(container: Container, *command: str, user: int = OWNER) -> tuple[int, str]:
    """Exit status and output of a command in it."""
    status, output = container.exec_run(list(command), user=str(user))
    assert isinstance(output, bytes)
    return status or 0, output.decode()


def test_its_owner_reads_the_files_and_nobody_else(
    plugin: Plugin, engine: docker.DockerClient, inputs: dict[str, Any]
) -> None:
    volume, state = plugin.create(TYPE, plugin.checked(TYPE, inputs))
    try:
        assert state["volume"] == volume
        with reader(engine, inputs, volume) as container:
            for name, content in inputs["files"].items():
                assert said(container, "cat", f"/run/secrets/{name}") == (0, content)
                for other in (1234, 0):  # root without capabilities is nobody else either
                    status, output = said(container, "cat", f"/run/secrets/{name}", user=other)
                    assert (status, "Permission denied" in output) == (1, True)
            status, modes = said(container, "sh", "-c", "stat -c '%a %u %n' /run/secrets/*")
            assert modes == f"400 {OWNER} /run/secrets/vf_one\n400 {OWNER} /run/secrets/vf_two\n"
            assert said(container, "touch", "/run/secrets/more")[0] == 1
        assert plugin.read(TYPE, volume, inputs, state)[0] == volume
    finally:
        plugin.delete(TYPE, volume, state)
    plugin.delete(TYPE, volume, state)
    assert plugin.read(TYPE, volume, inputs, state)[0] == ""


def test_other_contents_are_another_volume_and_what_a_killed_run_left_goes(
    plugin: Plugin, engine: docker.DockerClient, inputs: dict[str, Any]
) -> None:
    left, _ = plugin.create(TYPE, inputs)
    labels = engine.volumes.get(left).attrs["Labels"]
    filling = engine.containers.create(
        inputs["image"], ["true"], labels=labels, network_mode="none", volumes={left: {"bind": "/files"}}
    )
    first, state = plugin.create(TYPE, inputs)
    with pytest.raises(docker.errors.NotFound):
        filling.reload()
    with pytest.raises(docker.errors.NotFound):
        engine.volumes.get(left)
    with reader(engine, inputs, first) as before:
        second, second_state = plugin.create(TYPE, {**inputs, "files": {"vf_one": "another"}})
        with reader(engine, inputs, second) as after:
            assert said(before, "cat", "/run/secrets/vf_one") == (0, "the first secret")
            assert said(after, "cat", "/run/secrets/vf_one") == (0, "another")
    plugin.delete(TYPE, first, state)
    plugin.delete(TYPE, second, second_state)


def test_another_secret_replaces_and_another_image_does_not(inputs: dict[str, Any]) -> None:
    traits = SecretFilesType.traits
    assert not diff(traits, inputs, dict(inputs)).diffs
    assert not diff(traits, inputs, {**inputs, "image": "other"}).diffs
    assert list(diff(traits, inputs, {**inputs, "dockerHost": "ssh://x"}).diffs) == ["dockerHost"]
    assert not diff(traits, inputs, {**inputs, "dockerHost": "ssh://x"}).replaces
    changed = diff(traits, inputs, {**inputs, "files": {**inputs["files"], "vf_one": "x"}})
    assert list(changed.replaces) == ["files"]
    assert not changed.deleteBeforeReplace


def test_an_image_that_is_not_there_is_told_and_leaves_nothing(
    plugin: Plugin, inputs: dict[str, Any]
) -> None:
    with pytest.raises(Exception, match="image no-such-image:1 is not on the engine"):
        plugin.create(TYPE, {**inputs, "image": "no-such-image:1"})
