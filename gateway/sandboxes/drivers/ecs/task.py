"""A task as ECS describes it, judged: whose it is, where it is in its life, where it answers, why it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from container.protocol import AGENT_PORT
from gateway.sandboxes.drivers import Sandbox, SandboxState

STACK_TAG: Final = "vaporforge:stack"
SESSION_TAG: Final = "vaporforge:session"
ROLE_TAG: Final = "vaporforge:role"
ROLE: Final = "sandbox"

STOPPED: Final = "vaporforge: stopped"
DELETED: Final = "vaporforge: its session is deleted"
SPARE: Final = "vaporforge: another task has its session"
"""The reasons that this driver gives when it stops a task: they are what is known of it afterwards."""

_ENDED: Final = frozenset({"DEPROVISIONING", "STOPPED", "DELETED"})
"""Its containers have ended (the task lifecycle of the developer guide)."""

_PHASES: Final = {
    "PROVISIONING": "sandbox-placing",
    "PENDING": "sandbox-pulling",
    "ACTIVATING": "sandbox-pulling",
}

SIGNAL_EXIT: Final = 128
"""A container's exit code behind this is a signal's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """`live`: it runs or will. `ended`: nothing of it runs any more. `address`: of its network interface, once it has
    one. `created_at`, `started_at`: epoch seconds. `phase`: what a start is at. `stop_reason`, `failure`: why it was
    stopped, and ECS's words for why it came to nothing."""

    arn: str
    stack: str
    session: str
    live: bool
    ended: bool
    running: bool
    phase: str
    address: str
    created_at: float
    started_at: float
    stop_reason: str
    lost_reason: str
    failure: str
    start: str = ""

    @property
    def age(self) -> tuple[float, str]:
        """Orders tasks from the oldest on, the same at every gateway."""
        return self.created_at, self.arn

    def sandbox(self) -> Sandbox:
        """As a driver tells it."""
        if not self.live:
            gone = self.stop_reason == DELETED
            state = SandboxState.ABSENT if gone else SandboxState.STOPPED
            return Sandbox(session=self.session, state=state, lost_reason=self.lost_reason)
        reachable = self.running and bool(self.address)
        return Sandbox(
            session=self.session,
            state=SandboxState.RUNNING if reachable else SandboxState.STARTING,
            host=self.address if reachable else "",
            port=AGENT_PORT if reachable else 0,
            started_at=self.started_at or self.created_at,
            start=self.start,
        )


def task_of(data: Mapping[str, Any]) -> Task:
    """A `Task` of one of DescribeTasks's or RunTask's. StopTask deletes a task's tags (its reference says so), so the
    session is also known by what its container was told."""
    tags = {tag["key"]: tag.get("value", "") for tag in data.get("tags") or ()}
    last = data.get("lastStatus", "")
    ended = last in _ENDED
    live = not ended and data.get("desiredStatus") != "STOPPED" and last != "STOPPING"
    return Task(
        arn=data["taskArn"],
        stack=tags.get(STACK_TAG, ""),
        session=tags.get(SESSION_TAG, "") or _told(data, "VF_SESSION"),
        live=live,
        ended=ended,
        running=last == "RUNNING",
        phase=_PHASES.get(last, "agent-starting"),
        address=_address(data),
        created_at=_epoch(data.get("createdAt")),
        started_at=_epoch(data.get("startedAt")),
        stop_reason=data.get("stoppedReason") or "",
        lost_reason="" if live else lost_reason(data),
        failure=" ".join(_reasons(data)),
        start=_told(data, "VF_START"),
    )


def forgotten(arn: str, session: str) -> Task:
    """A task that ended so long ago that ECS tells nothing of it any more."""
    return task_of(
        {"taskArn": arn, "lastStatus": "STOPPED", "tags": [{"key": SESSION_TAG, "value": session}]}
    )


def lost_reason(data: Mapping[str, Any]) -> str:
    """Why a task ended by itself (`oom`, `spot`, `killed`, `exited`, `gone`); empty when this driver stopped it."""
    if data.get("stoppedReason") in (STOPPED, DELETED, SPARE):
        return ""
    if any("outofmemory" in reason.lower() for reason in _reasons(data)):
        return "oom"
    match data.get("stopCode"):
        case "SpotInterruption":
            return "spot"
        case "EssentialContainerExited":
            codes = [container.get("exitCode") for container in data.get("containers") or ()]
            return "killed" if any(code is not None and code > SIGNAL_EXIT for code in codes) else "exited"
        case "UserInitiated":
            return "killed"
        case _:
            return "gone"


def _reasons(data: Mapping[str, Any]) -> list[str]:
    found = [
        data.get("stoppedReason"),
        *(container.get("reason") for container in data.get("containers") or ()),
    ]
    return [reason for reason in found if reason]


def _told(data: Mapping[str, Any], name: str) -> str:
    for override in (data.get("overrides") or {}).get("containerOverrides") or ():
        for variable in override.get("environment") or ():
            if variable.get("name") == name:
                return str(variable.get("value", ""))
    return ""


def _address(data: Mapping[str, Any]) -> str:
    for attachment in data.get("attachments") or ():
        for detail in attachment.get("details") or ():
            if detail.get("name") == "privateIPv4Address":
                return str(detail.get("value", ""))
    return ""


def _epoch(value: Any) -> float:
    return value.timestamp() if isinstance(value, datetime) else float(value or 0.0)
