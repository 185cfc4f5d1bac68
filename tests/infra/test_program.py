"""What the program as a whole declares and tells."""

from __future__ import annotations

import pytest

from gateway.ids import instance_of
from infra.config import ROOT
from infra.plugin.stack.types import STACK
from infra.program import program
from infra.version import read_version
from tests.infra.mocked import MADE, STACK_ID, Program, run, strings


def test_it_tells_where_it_is_and_what_it_is(declared: Program) -> None:
    assert declared.outputs["url"] == "http://127.0.0.1:8080"
    assert declared.outputs["version"] == read_version(ROOT)
    assert declared.outputs["stackId"] == STACK_ID
    assert declared.outputs["instance"] == instance_of(MADE["sandbox"])
    assert set(declared.outputs["images"]) == {"gateway", "agent", "proxy"}


def test_the_signing_secret_is_a_secret_output(declared: Program) -> None:
    assert declared.outputs["jwtSecret"] == MADE["jwt"]
    assert declared.secret_outputs == {"jwtSecret", "credentialKey"}


def test_no_secret_is_anywhere_in_the_clear(declared: Program) -> None:
    for resource in declared.resources.values():
        for name, value in resource.inputs.items():
            if any(secret in text for text in strings(value) for secret in MADE.values()):
                assert name in resource.secret_inputs, f"{resource.name} has a secret in its {name}"


def test_everything_on_the_engine_belongs_to_a_component(declared: Program) -> None:
    for resource in declared.resources.values():
        if resource.type.startswith("docker:"):
            assert "vaporforge:docker:" in resource.parent, resource.name


def test_nothing_has_a_name_that_would_forbid_two_at_a_time(declared: Program) -> None:
    for suffix in (":Container", ":Network", ":Volume"):
        for resource in declared.of_type(suffix):
            assert "name" not in resource.inputs, resource.name


def test_down_keeps_what_holds_data_and_nothing_else(declared: Program) -> None:
    down = run(program, {"running": "false"})
    kept = {item.name for item in down.resources.values() if not item.type.startswith("vaporforge:docker:")}
    assert kept == {f"{STACK_ID}-{part}" for part in ("table", "blobs", "secrets", "sessions")}
    # The same resources, so that the next update finds them: their URNs must not change on the way down.
    assert set(down.resources) <= set(declared.resources)
    assert down.outputs["url"] == ""
    assert down.outputs["jwtSecret"] == MADE["jwt"]


def test_a_docker_host_is_given_to_every_resource_on_it() -> None:
    remote = run(program, {"dockerHost": "tcp://engine:2376"})
    [provider] = remote.of_type("pulumi:providers:docker")
    assert provider.inputs["host"] == "tcp://engine:2376"
    for resource in remote.resources.values():
        if resource.type.startswith("docker:"):
            assert provider.urn in resource.provider, resource.name
        elif resource.type.startswith("vaporforge-stack:") and not resource.type.endswith(":Secrets"):
            assert resource.inputs["dockerHost"] == "tcp://engine:2376", resource.name


@pytest.mark.parametrize("config", [{}, {"running": "false"}, {"sandboxInternet": "true"}])
def test_the_state_holds_no_code_and_every_resource_of_ours_is_of_a_type_that_our_plugin_knows(
    config: dict[str, str],
) -> None:
    components = ("vaporforge:docker:", "docker:", "pulumi:providers:")
    ours = [item for item in run(program, config).resources.values() if not item.type.startswith(components)]
    assert ours != []
    for resource in ours:
        traits = STACK.types[resource.type].traits
        assert traits.required <= resource.inputs.keys() <= traits.inputs, resource.name


def test_a_table_in_aws_needs_no_container_here() -> None:
    keys = {"awsAccessKeyId": "AKIA-not-real", "awsSecretAccessKey": "not-real-either"}
    stack = run(program, {"dynamodb": "aws", "dynamodbTable": "mine", "region": "eu-central-1"}, keys)
    assert [volume.name for volume in stack.of_type(":Volume")] == [f"{STACK_ID}-blobs"]
    assert not stack.of_type(":RemoteImage")
    env = stack.env("gateway-0")
    assert (env["VF_TABLE"], env["VF_REGION"]) == ("mine", "eu-central-1")
    assert "AKIA-not-real" in stack.files("gateway-0")["AWS_SHARED_CREDENTIALS"]
    assert "VF_DYNAMODB_ENDPOINT" not in env
    assert "VF_TABLE_CREATE" not in env
    assert stack.outputs["tableDefinition"]["TableName"] == "mine"


@pytest.mark.parametrize(
    ("config", "warned"),
    [
        ({"dockerHost": "ssh://me@there"}, True),
        ({"dockerHost": "ssh://me@there", "bindAddress": "10.1.2.3"}, False),
        ({}, False),
    ],
)
def test_a_loopback_elsewhere_is_warned_of(
    config: dict[str, str], warned: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    run(program, config)
    assert ("the loopback of there" in caplog.text) is warned


@pytest.mark.parametrize(("address", "warned"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True)])
def test_tokens_in_the_clear_are_warned_of(
    address: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    run(program, {"bindAddress": address})
    assert ("tlsCertificate is not set" in caplog.text) is warned
