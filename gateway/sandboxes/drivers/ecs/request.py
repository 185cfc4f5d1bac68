"""The request that starts a session's task: what is the session's own, where it may run, and its client token."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from container.protocol import sandbox_token
from gateway.sandboxes.drivers.ecs.task import ROLE, ROLE_TAG, SESSION_TAG, STACK_TAG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import Settings
    from gateway.sandboxes.drivers.ecs.task import Task

CONTAINER: Final = "sandbox"
"""Its name in the task definition."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task may run: on spare capacity that AWS takes back when it likes, or not; in which subnets."""

    spot: bool
    subnets: tuple[str, ...]


def places(settings: Settings) -> Sequence[Place]:
    """Where to try, one after another: spot where settings want it, then on demand, then zone by zone."""
    subnets = settings.ecs_subnets
    found = [Place(spot=False, subnets=subnets)]
    if settings.ecs_spot:
        found.insert(0, Place(spot=True, subnets=subnets))
    if len(subnets) > 1:
        found += [Place(spot=False, subnets=(subnet,)) for subnet in subnets]
    return found


def run_task(
    settings: Settings, session: str, place: Place, before: Task | None, *, named: bool = True
) -> dict[str, Any]:
    """RunTask's arguments. `before`: the session's last task, whose end the new one is told the reason of. `named`:
    whether the start gets a name, which is the same at every gateway as the client token is.

    Every gateway that knows the same last task asks with the same client token, and gets the same task. `startedBy` is
    the session: ListTasks filters by it and by no tag, so a session is found without looking at all the others.
    """
    token = sandbox_token(settings.sandbox_secret.encode(), session)
    client = client_token(settings.stack, session, place, before.arn if before else "")
    environment = {
        "VF_SESSION": session,
        "VF_SANDBOX_TOKEN": token,
        "VF_START": hashlib.sha256(f"start:{client}".encode()).hexdigest()[:16] if named else "",
        "VF_LOST_REASON": before.lost_reason if before else "",
    }
    tags = {STACK_TAG: settings.stack, SESSION_TAG: session, ROLE_TAG: ROLE}
    capacity: dict[str, Any] = {"launchType": "FARGATE"}
    if place.spot:
        capacity = {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]}
    return {
        "cluster": settings.ecs_cluster,
        "taskDefinition": settings.ecs_task_definition,
        "count": 1,
        "clientToken": client,
        "startedBy": session,
        "propagateTags": "TASK_DEFINITION",
        "enableECSManagedTags": True,
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": list(place.subnets),
                "securityGroups": list(settings.ecs_security_groups),
                "assignPublicIp": "ENABLED" if settings.ecs_public_ip else "DISABLED",
            }
        },
        "overrides": {
            "containerOverrides": [
                {
                    "name": CONTAINER,
                    "environment": [{"name": name, "value": value} for name, value in environment.items()],
                }
            ]
        },
        **capacity,
    }


def client_token(stack: str, session: str, place: Place, before: str) -> str:
    """64 characters, RunTask's most. ECS knows one for 24 hours at most (its reference, Ensuring idempotency)."""
    parts = (stack, session, "spot" if place.spot else "", *place.subnets, before)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def family(task_definition: str) -> str:
    """The family of a task definition's ARN, or of `family:revision`: all revisions' tasks are listed by it."""
    return task_definition.rpartition("/")[2].partition(":")[0]
