"""What is read of a task: whose it is also when its tags are gone, its state, and why it ended."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.sandboxes.drivers import LOSSES, SandboxState
from gateway.sandboxes.drivers.ecs.request import Place, client_token, family
from gateway.sandboxes.drivers.ecs.task import DELETED, SPARE, STOPPED, task_of
from gateway.sandboxes.drivers.ecs.troubles import Trouble, trouble_of

ENVIRONMENT = [{"name": "VF_SANDBOX_TOKEN", "value": "t"}, {"name": "VF_SESSION", "value": "s1"}]


def task(**fields: Any) -> dict[str, Any]:
    return {
        "taskArn": "arn:1",
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "overrides": {"containerOverrides": [{"name": "sandbox", "environment": ENVIRONMENT}]},
        **fields,
    }


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stopCode": "SpotInterruption", "stoppedReason": "Your Spot Task was interrupted."}, "spot"),
        ({"stopCode": "EssentialContainerExited", "containers": [{"exitCode": 137}]}, "killed"),
        ({"stopCode": "EssentialContainerExited", "containers": [{"exitCode": 1}]}, "exited"),
        ({"stopCode": "EssentialContainerExited", "containers": [{}]}, "exited"),
        (
            {
                "stopCode": "EssentialContainerExited",
                "containers": [
                    {"exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"}
                ],
            },
            "oom",
        ),
        ({"stopCode": "UserInitiated", "stoppedReason": "by hand"}, "killed"),
        ({"stopCode": "UserInitiated", "stoppedReason": STOPPED}, ""),
        ({"stopCode": "UserInitiated", "stoppedReason": DELETED}, ""),
        ({"stopCode": "UserInitiated", "stoppedReason": SPARE}, ""),
        ({"stopCode": "InfrastructureHealth"}, "gone"),
        ({"stopCode": "TaskFailedToStart"}, "gone"),
        ({}, "gone"),
    ],
)
def test_why_it_ended(fields: dict[str, Any], reason: str) -> None:
    ended = task_of(task(lastStatus="STOPPED", desiredStatus="STOPPED", **fields))
    assert ended.lost_reason == reason
    assert reason in LOSSES | {""}
    assert not ended.live


def test_its_session_is_known_without_tags() -> None:
    assert task_of(task(tags=[])).session == "s1"
    assert task_of(task(tags=[{"key": "vaporforge:session", "value": "claimed"}])).session == "claimed"
    assert task_of({"taskArn": "arn:1"}).session == ""


@pytest.mark.parametrize(
    ("last", "desired", "state"),
    [
        ("PROVISIONING", "RUNNING", SandboxState.STARTING),
        ("PENDING", "RUNNING", SandboxState.STARTING),
        ("ACTIVATING", "RUNNING", SandboxState.STARTING),
        ("RUNNING", "RUNNING", SandboxState.RUNNING),
        ("RUNNING", "STOPPED", SandboxState.STOPPED),
        ("STOPPING", "STOPPED", SandboxState.STOPPED),
        ("DEPROVISIONING", "STOPPED", SandboxState.STOPPED),
        ("STOPPED", "STOPPED", SandboxState.STOPPED),
    ],
)
def test_states(last: str, desired: str, state: SandboxState) -> None:
    details = [
        {"name": "subnetId", "value": "subnet-1"},
        {"name": "privateIPv4Address", "value": "10.42.0.9"},
    ]
    found = task_of(task(lastStatus=last, desiredStatus=desired, attachments=[{"details": details}]))
    sandbox = found.sandbox()
    assert sandbox.state is state
    assert sandbox.host == ("10.42.0.9" if state is SandboxState.RUNNING else "")
    assert found.ended is (last in {"DEPROVISIONING", "STOPPED"})


def test_one_without_an_address_starts_still() -> None:
    assert task_of(task()).sandbox().state is SandboxState.STARTING


@pytest.mark.parametrize(
    ("code", "said", "trouble"),
    [
        ("ThrottlingException", "Rate exceeded", Trouble.THROTTLED),
        ("ClientException", "Rate exceeded", Trouble.THROTTLED),
        ("", "RESOURCE:MEMORY", Trouble.CAPACITY),
        ("", "Your Spot Task was interrupted.", Trouble.CAPACITY),
        ("ServerException", "Service Unavailable", Trouble.AWAY),
        ("", "Timeout waiting for network interface provisioning to complete.", Trouble.AWAY),
        ("", "", Trouble.AWAY),
        ("ConflictException", "", Trouble.CONFLICT),
        ("BlockedException", "Your account was blocked", Trouble.LASTING),
    ],
)
def test_troubles(code: str, said: str, trouble: Trouble) -> None:
    assert trouble_of(code, said) is trouble


def test_the_client_token_is_of_the_session_its_place_and_its_last_task() -> None:
    first = Place(spot=True, subnets=("a", "b"))
    tokens = [
        client_token("stack", "s1", first, ""),
        client_token("stack", "s2", first, ""),
        client_token("other", "s1", first, ""),
        client_token("stack", "s1", Place(spot=False, subnets=("a", "b")), ""),
        client_token("stack", "s1", Place(spot=False, subnets=("a",)), ""),
        client_token("stack", "s1", first, "arn:1"),
    ]
    assert len(set(tokens)) == len(tokens)
    assert client_token("stack", "s1", first, "") == tokens[0]
    assert {len(token) for token in tokens} == {64}


@pytest.mark.parametrize(
    "given", ["arn:aws:ecs:eu-west-1:1:task-definition/shop-sandbox:12", "shop-sandbox:12"]
)
def test_the_family(given: str) -> None:
    assert family(given) == "shop-sandbox"
