"""The waits of a container's life, each with a limit, and each ended by the user's giving up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import docker

from infra.plugin.properties import Properties
from infra.plugin.resource import Context, PluginError

RUNNING_SECONDS: Final = 15
"""The official plugin's limit for a started container to be seen running."""

HEALTHY_SECONDS: Final = 60
"""The official default of `waitTimeout`."""

GONE_SECONDS: Final = 60

RESTARTS: Final = 4
"""A container that its policy has restarted so often while it should become healthy will not."""

LOG_LINES: Final = 20
"""How much of a failed container's log its error carries."""


def until_running(context: Context, container: str, inputs: Properties) -> None:
    """Raises `PluginError` when it ended at once, or does not run in time."""

    def running() -> bool:
        state = _state(context, container)
        if state["Running"] or (state["Status"] == "exited" and not inputs.get("mustRun", True)):
            return True
        if state["Status"] in {"exited", "dead"} or state.get("Restarting"):
            raise _failure(context, container, inputs, f"ended at once with exit code {state['ExitCode']}")
        return False

    if not _poll(context, running, RUNNING_SECONDS):
        raise _failure(context, container, inputs, f"did not run in {RUNNING_SECONDS} s")


def until_healthy(context: Context, container: str, inputs: Properties) -> None:
    """Raises `PluginError` when it has no health check, or is not healthy in time."""
    limit = inputs.get("waitTimeout") or HEALTHY_SECONDS

    def healthy() -> bool:
        details = context.api.inspect_container(container)
        state = details["State"]
        if not state.get("Health"):
            raise _failure(context, container, inputs, "has no health check to wait for")
        if details["RestartCount"] >= RESTARTS or state["Status"] == "exited":
            raise _failure(context, container, inputs, f"ended with exit code {state['ExitCode']}")
        return bool(state["Health"]["Status"] == "healthy")

    if not _poll(context, healthy, limit):
        raise _failure(context, container, inputs, f"was not healthy in {limit} s")


def until_gone(context: Context, container: str) -> None:
    """Raises `PluginError` when it is still there after a minute."""

    def gone() -> bool:
        try:
            context.api.inspect_container(container)
        except docker.errors.NotFound:
            return True
        return False

    if not _poll(context, gone, GONE_SECONDS):
        raise PluginError(f"container {container[:12]} was not removed in {GONE_SECONDS} s")


def _poll(context: Context, done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    pause = 0.05
    while not done():
        if time.monotonic() >= deadline:
            return False
        if context.cancelled.wait(pause):
            raise PluginError("cancelled")
        pause = min(pause * 1.5, 0.5)
    return True


def _state(context: Context, container: str) -> dict[str, Any]:
    state: dict[str, Any] = context.api.inspect_container(container)["State"]
    return state


def _failure(context: Context, container: str, inputs: Properties, what: str) -> PluginError:
    log = context.api.logs(container, tail=LOG_LINES).decode(errors="replace").strip()
    checks = (_state(context, container).get("Health") or {}).get("Log") or []
    last = f"\nlast health check: {checks[-1]['Output'].strip()}" if checks else ""
    return PluginError(f"container {inputs['name']} {what}{last}\nits log:\n{log or '(empty)'}")
