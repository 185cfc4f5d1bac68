"""`vaporforge-stack:index:SandboxTasks`: the sandboxes of a stack as tasks of ECS, which gateways have started."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from infra.plugin.properties import Properties
from infra.plugin.resource import Context, PluginError, Traits
from infra.plugin.stack.stateonly import StateOnly

SECONDS: Final = 300.0
"""Longest wait for tasks to end: they have 120 s after their TERM at most (Fargate's stopTimeout)."""

PAUSE_SECONDS: Final = 2.0

REASON: Final = "vaporforge: the stack is stopped"


class SandboxTasksType(StateOnly):
    """All tasks of `family` in `cluster`, an ARN: the cluster is the stack's own."""

    traits = Traits(
        inputs=frozenset({"cluster", "family", "region"}),
        required=frozenset({"cluster", "family", "region"}),
        in_place=frozenset({"family", "region"}),
    )

    def __init__(self, connect: Callable[[str], Any] | None = None) -> None:
        """`connect`: makes an ECS client of a region; by default boto3's, with the credentials of the environment."""
        self._connect = connect or _client

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:  # noqa: ARG002
        client = self._connect(state["region"])
        try:
            _stop_all(client, state["cluster"], state["family"], context.cancelled)
        finally:
            client.close()


def _client(region: str) -> Any:
    try:
        import boto3
    except ImportError:
        raise PluginError("boto3 is not installed: scripts/setup aws, then this again") from None
    return boto3.session.Session(region_name=region).client("ecs")


def _stop_all(client: Any, cluster: str, family: str, cancelled: threading.Event) -> None:
    """Ends when none is left: with a task in it a cluster, and with its interface a network, cannot be deleted."""
    deadline = time.monotonic() + SECONDS
    told: set[str] = set()
    while tasks := _running(client, cluster, family):
        for task in tasks:
            if task not in told:
                _stop(client, cluster, task)
                told.add(task)
        if time.monotonic() > deadline:
            raise PluginError(
                f"{len(tasks)} sandboxes of {cluster} have not ended {SECONDS:.0f} s after they were told to: see "
                "them in the console of ECS, then this again"
            )
        if cancelled.wait(PAUSE_SECONDS):
            raise PluginError("stopping the sandboxes was cancelled")


def _running(client: Any, cluster: str, family: str) -> list[str]:
    """ARNs of the tasks that have not ended: those that are to run, and those that are ending."""
    try:
        arns = list(_listed(client, cluster, family))
        if not arns:
            return []
        found = [
            task
            for start in range(0, len(arns), 100)
            for task in client.describe_tasks(cluster=cluster, tasks=arns[start : start + 100])["tasks"]
        ]
    except client.exceptions.ClusterNotFoundException:
        return []
    return [task["taskArn"] for task in found if task.get("lastStatus") not in {"STOPPED", "DELETED"}]


def _listed(client: Any, cluster: str, family: str) -> Iterator[str]:
    for status in ("RUNNING", "STOPPED"):
        pages = client.get_paginator("list_tasks").paginate(
            cluster=cluster, family=family, desiredStatus=status
        )
        for page in pages:
            yield from page["taskArns"]


def _stop(client: Any, cluster: str, task: str) -> None:
    try:
        client.stop_task(cluster=cluster, task=task, reason=REASON)
    except client.exceptions.InvalidParameterException:
        # ECS has forgotten it in between.
        return
