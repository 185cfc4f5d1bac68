"""Sandboxes on ECS are stopped, and waited for, before what they use is taken away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from infra.plugin.enginelog import EngineLog
from infra.plugin.resource import Context, PluginError
from infra.plugin.stack import tasks
from infra.plugin.stack.tasks import SandboxTasksType

STATE = {"cluster": "arn:cluster", "family": "vaporforge-dev-sandbox", "region": "eu-central-1"}


class Gone(Exception):
    pass


class Forgotten(Exception):
    pass


class Ecs:
    """An ECS client. `tasks`: last status by ARN; one that is told to stop ends at the next look but one."""

    class exceptions:  # noqa: N801 - boto3's name
        ClusterNotFoundException = Gone
        InvalidParameterException = Forgotten

    def __init__(self, statuses: dict[str, str], *, cluster: bool = True, stubborn: bool = False) -> None:
        self.statuses = statuses
        self.cluster, self.stubborn = cluster, stubborn
        self.stopped: list[str] = []
        self.closed = False

    def get_paginator(self, operation: str) -> Ecs:
        assert operation == "list_tasks"
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        if not self.cluster:
            raise Gone
        assert (request["cluster"], request["family"]) == (STATE["cluster"], STATE["family"])
        ending = {arn for arn, status in self.statuses.items() if arn in self.stopped or status == "STOPPED"}
        wanted = ending if request["desiredStatus"] == "STOPPED" else self.statuses.keys() - ending
        for arn in sorted(wanted):
            yield {"taskArns": [arn]}

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> dict[str, Any]:
        found = {"tasks": [{"taskArn": arn, "lastStatus": self.statuses[arn]} for arn in tasks]}
        for arn in self.stopped:
            if not self.stubborn:
                self.statuses[arn] = (
                    "STOPPED" if self.statuses[arn] in {"STOPPING", "STOPPED"} else "STOPPING"
                )
        return found

    def stop_task(self, *, cluster: str, task: str, reason: str) -> None:
        assert reason
        if task == "forgotten":
            del self.statuses[task]
            raise Forgotten
        self.stopped.append(task)

    def close(self) -> None:
        self.closed = True


def context() -> Context:
    def connect() -> docker.APIClient:
        raise AssertionError("this type asks no engine")

    return Context(connect=connect, configured={}, urn="", log=EngineLog(""), cancelled=threading.Event())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "PAUSE_SECONDS", 0.001)


def delete(ecs: Ecs) -> None:
    regions: list[str] = []

    def connect(region: str) -> Ecs:
        regions.append(region)
        return ecs

    SandboxTasksType(connect).delete(context(), "id", dict(STATE))
    assert regions == ["eu-central-1"]


def test_all_are_told_to_stop_once_and_waited_for() -> None:
    ecs = Ecs({"a": "RUNNING", "b": "PENDING", "forgotten": "RUNNING", "old": "STOPPED"})
    delete(ecs)
    assert ecs.stopped == ["a", "b"]
    assert set(ecs.statuses.values()) == {"STOPPED"}
    assert ecs.closed


@pytest.mark.parametrize("ecs", [Ecs({}), Ecs({}, cluster=False)])
def test_where_there_is_nothing_it_is_done(ecs: Ecs) -> None:
    delete(ecs)
    assert ecs.stopped == []
    assert ecs.closed


def test_one_that_does_not_end_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "SECONDS", 0.02)
    with pytest.raises(PluginError, match="1 sandboxes of arn:cluster have not ended"):
        delete(Ecs({"a": "RUNNING"}, stubborn=True))


def test_waiting_ends_when_the_user_gives_up() -> None:
    given_up = context()
    given_up.cancelled.set()
    with pytest.raises(PluginError, match="cancelled"):
        SandboxTasksType(lambda region: Ecs({"a": "RUNNING"})).delete(given_up, "id", dict(STATE))
