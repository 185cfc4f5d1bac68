"""The `aws` target as a whole: tags, secrets, order, what stays when it is stopped, and what it tells."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from gateway.ids import instance_of
from infra.config import ROOT
from infra.plugin.stack.types import STACK
from infra.program import program
from infra.values import ConfigError
from tests.infra.aws_programs import TLS, aws_program
from tests.infra.components.aws.iam import allows
from tests.infra.mocked import MADE, STACK_ID, Declared, Program, run, strings
from tests.infra.mocked_aws import PASSWORD


def of_aws(stack: Program) -> Iterator[Declared]:
    return (item for item in stack.resources.values() if item.type.startswith("aws:"))


def can_have_tags(resource: Declared) -> bool:
    """By the arguments of its class."""
    module, _, name = resource.type.removeprefix("aws:").partition("/")
    kind = name.partition(":")[2]
    made = getattr(importlib.import_module(f"pulumi_aws.{module}"), kind)
    return "tags" in inspect.signature(made._internal_init).parameters


@pytest.mark.parametrize("config", [{}, TLS])
def test_everything_that_can_have_tags_says_which_stack_and_part_it_is(config: dict[str, str]) -> None:
    tagged = [item for item in of_aws(aws_program(**config)) if can_have_tags(item)]
    assert len(tagged) > 40
    for resource in tagged:
        tags = resource.inputs["tags"]
        assert tags["vaporforge:stack"] == STACK_ID, resource.name
        assert tags["vaporforge:role"], resource.name
        assert tags["Name"] == f"{STACK_ID}-{tags['vaporforge:role']}"


def test_no_secret_is_anywhere_in_the_clear() -> None:
    stack = aws_program()
    secrets = (*MADE.values(), PASSWORD, "model-api-key-of-the-team")
    found = 0
    for resource in stack.resources.values():
        for name, value in resource.inputs.items():
            if any(secret in text for text in strings(value) for secret in secrets):
                found += 1
                assert name in resource.secret_inputs, f"{resource.name} has a secret in its {name}"
    assert found == 3  # the secret in Secrets Manager, and the registry's password for each image
    plain = {name: value for name, value in stack.outputs.items() if name not in stack.secret_outputs}
    assert not [text for text in strings(plain) if text in secrets]


def test_it_tells_what_a_stack_on_docker_tells_and_where_its_data_are() -> None:
    stack = aws_program()
    assert stack.secret_outputs == {"jwtSecret", "credentialKey"}
    assert stack.outputs["instance"] == instance_of(MADE["sandbox"])
    assert set(stack.outputs["images"]) == {"gateway", "agent"}
    assert stack.outputs["table"] == f"{STACK_ID}-table-0abcdef"
    assert stack.outputs["bucket"] == f"{STACK_ID}-blobs-0abcdef"
    told_by_all = {
        "url",
        "version",
        "stackId",
        "instance",
        "images",
        "jwtAudience",
        "jwtSecret",
        "credentialKey",
    }
    assert told_by_all <= set(stack.outputs)


def test_one_program_is_told_nothing_of_the_one_before() -> None:
    assert "bucket" in run(program, {"target": "aws"}).outputs
    assert "bucket" not in run(program).outputs


def test_everything_is_in_the_region_and_belongs_to_a_component() -> None:
    stack = aws_program(region="eu-central-1")
    [provider] = stack.of_type("pulumi:providers:aws")
    assert provider.inputs["region"] == "eu-central-1"
    for resource in of_aws(stack):
        assert "vaporforge:aws:" in resource.parent, resource.name
        assert provider.urn in resource.provider, resource.name


def test_nothing_has_a_name_that_would_forbid_two_at_a_time() -> None:
    # Names within the stack's own namespace, of DNS, and a family, which has revisions.
    named = {"PrivateDnsNamespace", "Record", "Certificate"}
    for resource in of_aws(aws_program(**TLS)):
        kind = resource.type.rpartition(":")[2]
        if kind not in named and not resource.type.startswith("aws:servicediscovery"):
            assert not resource.inputs.keys() & {"name", "bucketPrefix", "namePrefix"}, resource.name


def test_sandboxes_end_after_the_gateways_and_before_all_that_they_use() -> None:
    stack = aws_program()
    [sandboxes] = stack.of_type(":SandboxTasks")
    traits = STACK.types[sandboxes.type].traits
    assert traits.required <= sandboxes.inputs.keys() <= traits.inputs
    assert sandboxes.inputs == {
        "cluster": f"arn:aws:ecs:us-east-1:123456789012:cluster/{STACK_ID}-cluster-0abcdef",
        "family": f"{STACK_ID}-sandbox",
        "region": "us-east-1",
    }
    [service] = [item for item in stack.of_type(":Service") if item.type.startswith("aws:ecs")]
    assert sandboxes.name in stack.before(service)
    used = stack.before(sandboxes)
    # It has the cluster's name, so it is told apart by its URN.
    [capacity] = stack.of_type(":ClusterCapacityProviders")
    assert capacity.urn in sandboxes.dependencies
    for suffix in (
        ":SecurityGroup",
        ":Subnet",
        ":Cluster",
        ":Role",
        ":RolePolicy",
    ):
        for item in stack.of_type(suffix):
            if item.type.startswith("aws:"):
                assert item.name in used, f"{item.name} goes before the sandboxes"


def test_a_gateway_starts_when_all_that_it_calls_is_there() -> None:
    stack = aws_program(**TLS)
    [service] = [item for item in stack.of_type(":Service") if item.type.startswith("aws:ecs")]
    ready = stack.before(service)
    for suffix in (":Listener", ":RolePolicy", ":Route", ":VpcEndpoint", ":SecretVersion"):
        for item in stack.of_type(suffix):
            assert item.name in ready, item.name


def test_down_keeps_what_holds_data_and_nothing_else() -> None:
    up, down = aws_program(), aws_program(running="false")
    kept = {item.type.rpartition(":")[2] for item in of_aws(down)}
    assert {kind for kind in kept if not kind.startswith("Bucket")} == {
        "Table",
        "Key",
        "Secret",
        "SecretVersion",
        "LogGroup",
    }
    # The same resources, so that the next update finds them: their URNs must not change on the way down.
    assert set(down.resources) <= set(up.resources)
    assert down.outputs["url"] == ""
    assert down.outputs["jwtSecret"] == MADE["jwt"]


def test_a_protected_stack_that_is_down_keeps_its_load_balancer_which_says_so() -> None:
    up, down = aws_program("prod"), aws_program("prod", running="false")
    assert set(down.resources) <= set(up.resources)
    assert not [kind for kind in (":Cluster", ":TaskDefinition", ":Image") if down.of_type(kind)]
    [listener] = down.of_type(":Listener")
    [action] = listener.inputs["defaultActions"]
    assert (action["type"], action["fixedResponse"]["statusCode"]) == ("fixed-response", "503")
    assert {item.name for item in up.resources.values() if item.protect} == {
        item.name for item in down.resources.values() if item.protect
    }


@pytest.mark.parametrize("stack", ["test", "prod"])
def test_what_aws_keeps_the_state_keeps_too(stack: str) -> None:
    up = aws_program(stack)
    # A bucket's settings and a secret's version are written again over those that there are.
    written_again = ("aws:s3/bucket", "aws:secretsmanager/secretVersion:")
    lost = [
        item.name
        for item in up.resources.values()
        if item.retain_on_delete and not item.protect and not item.type.startswith(written_again)
    ]
    assert lost == []
    # What goes on the way down must really go: the next update makes it under another name.
    gone = up.resources.keys() - aws_program(stack, running="false").resources.keys()
    assert [up.resources[urn].name for urn in gone if up.resources[urn].retain_on_delete] == []


@pytest.mark.parametrize(("config", "warned"), [({}, True), (TLS, False)])
def test_tokens_in_the_clear_are_warned_of(
    config: dict[str, str], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run(program, {"target": "aws", **config})
    assert ("users' tokens travel in the clear" in caplog.text) is warned


def test_pulumi_aws_is_asked_for_by_stacks_that_have_the_target_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pulumi_aws", None)
    run(program)
    with pytest.raises(ConfigError, match=r"scripts/setup aws"):
        run(program, {"target": "aws"})


def test_the_pages_policy_for_deploying_knows_every_service_that_is_used() -> None:
    page = (ROOT / "docs" / "deploy-aws.md").read_text(encoding="utf-8")
    [text] = re.findall(r"<!-- deploying policy -->\n```json\n(.*?)```", page, re.DOTALL)
    actions = [
        action
        for statement in json.loads(text)["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]
    named = {action.partition(":")[0] for action in actions}
    modules = {item.type.removeprefix("aws:").partition("/")[0] for item in of_aws(aws_program(**TLS))}
    prefixes = {"lb": "elasticloadbalancing", "appautoscaling": "application-autoscaling", "vpc": "ec2"}
    # A key that is made with tags is tagged before it is one that a policy could know by its tags.
    tagged = {"aws:RequestTag/vaporforge:stack": STACK_ID}
    assert allows([text], "kms:CreateKey", "*", {})
    assert allows([text], "kms:TagResource", "arn:aws:kms:eu-west-1:123456789012:key/new", tagged)
    # Log groups are CloudWatch's to pulumi-aws, and of a service of their own to IAM.
    assert {prefixes.get(module, module) for module in modules} | {"logs", "sts"} == named
