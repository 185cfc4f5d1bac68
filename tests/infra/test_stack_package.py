"""The provider of a stack's own types, on Pulumi's engine and as a process."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.automation import LocalWorkspace, Stack
from pulumi.dynamic import CreateResult, Resource, ResourceProvider
from pulumi.runtime import rpc

from infra.cleanup import ImageTag
from infra.config import ROOT
from infra.generated import NAMES, GeneratedSecrets
from tests.infra.plugin_client import Plugin, started

SECRETS = "vaporforge-stack:index:Secrets"

OLD = {name: f"old-{name}-" + secrets.token_hex(16) for name in NAMES}


def values(properties: dict[str, Any]) -> dict[str, str]:
    """The secrets among the outputs, each of which is marked as one."""
    found = {key: value for key, value in properties.items() if key != "names"}
    assert all(value[rpc._special_sig_key] == rpc._special_secret_sig for value in found.values())
    return {key: value["value"] for key, value in found.items()}


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    with started(ROOT, "stack/pulumi-resource-vaporforge-stack") as plugin:
        yield plugin


def test_secrets_are_made_once_and_later_ones_leave_the_earlier_as_they_are(plugin: Plugin) -> None:
    inputs = plugin.checked(SECRETS, {"names": ["jwt"]})
    id_, state = plugin.create(SECRETS, inputs)
    assert id_
    assert len(values(state)["jwt"]) == 64
    more = plugin.checked(SECRETS, {"names": ["jwt", "sandbox"]}, inputs)
    previewed = plugin.update(SECRETS, id_, state, more, preview=True)
    assert previewed["jwt"] == state["jwt"], "what signs tokens is known: a preview replaces nothing for it"
    after = values(plugin.update(SECRETS, id_, state, more))
    assert after["jwt"] == values(state)["jwt"]
    assert len(after["sandbox"]) == 64
    assert after["sandbox"] != after["jwt"]


def test_a_type_or_an_input_that_it_does_not_know_is_a_sentence(plugin: Plugin) -> None:
    with pytest.raises(Exception, match="own plugin does not know the type vaporforge-stack:index:Other"):
        plugin.check("vaporforge-stack:index:Other", {})
    [failure] = plugin.check(SECRETS, {"names": [], "name": "x"}).failures
    assert "did you mean names?" in failure.reason


@pytest.fixture
def deploy(tmp_path: Path) -> Callable[[Callable[[], None]], Stack]:
    """Updates one stack to a program, in a project with the repository's Pulumi.yaml."""
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    (tmp_path / "infra" / "stacks").mkdir(parents=True)
    for part in (ROOT / "infra").iterdir():
        if part.name != "stacks":
            (tmp_path / "infra" / part.name).symlink_to(part)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "backend").mkdir()
    environ = {
        "PULUMI_BACKEND_URL": (tmp_path / "backend").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "of this test",
        "PULUMI_PYTHON_CMD": sys.executable,  # for dynamic resources alone
    }

    def update(program: Callable[[], None]) -> Stack:
        workspace = LocalWorkspace(work_dir=str(tmp_path), program=program, env_vars=environ)
        stack = Stack.create_or_select("moved", workspace)
        stack.up()
        return stack

    return update


def resources(stack: Stack) -> dict[str, dict[str, Any]]:
    exported = stack.export_stack().deployment or {}
    return {item["urn"].rsplit("::", 1)[-1]: item for item in exported["resources"]}


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_a_state_with_dynamic_resources_moves_over_and_keeps_no_code(
    deploy: Callable[[Callable[[], None]], Stack], tmp_path: Path
) -> None:
    def before() -> None:
        made = OLD

        class Provider(ResourceProvider):
            def create(self, props: dict[str, Any]) -> CreateResult:
                return CreateResult(id_="first", outs={**props, **(made if "names" in props else {})})

        class Secrets(Resource, module="vaporforge", name="Secrets"):
            pass

        class Tag(Resource, module="vaporforge", name="ImageTag"):
            pass

        hidden = pulumi.ResourceOptions(additional_secret_outputs=list(NAMES))
        Secrets(Provider(), "secrets", {"names": list(NAMES), **dict.fromkeys(NAMES)}, hidden)
        Tag(Provider(), "tag", {"image": "no/such:1", "dockerHost": ""})

    def after() -> None:
        made = GeneratedSecrets("secrets", pulumi.ResourceOptions())
        pulumi.export("jwt", made.told({})["VF_JWT_SECRET"])
        ImageTag("tag", image="no/such:1", docker_host="", opts=pulumi.ResourceOptions())

    old = resources(deploy(before))
    assert "__provider" in old["secrets"]["inputs"]
    stack = deploy(after)
    new = resources(stack)
    for name in ("secrets", "tag"):
        assert new[name]["type"].startswith("vaporforge-stack:index:")
        assert new[name]["id"] == "first"
        assert "__provider" not in {**new[name]["inputs"], **new[name]["outputs"]}
    assert stack.outputs()["jwt"].value == OLD["jwt"]
    assert "pulumi-python" not in json.dumps(new)
    [kept] = (tmp_path / "backend").rglob("moved.json")
    assert "ciphertext" in kept.read_text(encoding="utf-8")
    assert OLD["jwt"] not in kept.read_text(encoding="utf-8")
    # The second time there is nothing to do, and a command that runs no program finds the plugin too.
    assert (stack.up().summary.resource_changes or {}).keys() == {"same"}
    stack.refresh()
    stack.destroy()
