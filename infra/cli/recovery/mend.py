"""Puts right what a killed command left of a stack, before the next one changes it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi.automation import Deployment as Exported
from pulumi.automation import Stack

from infra.cli.console import Progress, say
from infra.cli.errors import CliError
from infra.cli.recovery import locks, processes
from infra.cli.recovery.backend import backend_of
from infra.cli.recovery.orphans import Known, remove_orphans
from infra.cli.state import State
from infra.config import PROJECT


@dataclass(frozen=True, slots=True)
class Recovery:
    """Of one stack. `engine`: the URL of the Docker engine that the stack names; empty is the one of `environ`."""

    name: str
    state: State
    environ: Mapping[str, str]
    engine: str

    def free(self) -> bool:
        """End what a dead command left running, and take its lock away; whether there was any of it."""
        left = processes.left(self.state.folder, self.name)
        if left:
            say(f"==> ending what a killed run left: process {', '.join(map(str, left))}")
            processes.end(left)
        freed = locks.free(backend_of(self.environ), self.name)
        if freed:
            say(f"==> the run that held the stack {self.name} is dead: its lock is taken away")
        return bool(left or freed)

    def mend(self, stack: Stack, path: str, *, volumes: bool = False) -> Sequence[Mapping[str, Any]]:
        """Leave state and engine as if every run had ended: the resources in the state. `path`: of the configuration.
        `volumes`: take the stack's volumes too that Pulumi does not know. Raises `CliError` where another has the
        stack."""
        killed = self.free()
        if locks.locks(backend_of(self.environ), self.name):
            # What it is making is on the engine before it is in the state.
            raise CliError(self.holder())
        exported = stack.export_stack()
        known = Known.of(exported.deployment or {})
        stack_id = f"{PROJECT}-{self.name}"
        if pending := (exported.deployment or {}).get("pending_operations"):
            killed = True
            if perhaps := _perhaps_in_aws(pending):
                say(
                    "==> a killed run may have made these in AWS, where Pulumi does not know them and nothing takes "
                    f"them away: {', '.join(perhaps)}. What is there has the tag vaporforge:stack={stack_id}"
                )
            cleared = {**(exported.deployment or {}), "pending_operations": []}
            stack.import_stack(Exported(exported.version, cleared))
        if killed and known.ids:
            # A deletion may have been done and not written down.
            say(f"==> looking at what is there of the stack {self.name}")
            stack.refresh(config_file=path, on_event=Progress())
            exported = stack.export_stack()
            now = Known.of(exported.deployment or {})
            known = Known(now.ids, now.volumes, known.pending)

        def look() -> Known:
            return Known.of(stack.export_stack().deployment or {})

        for removed in remove_orphans(stack_id, known, self.engine, self.environ, look=look, volumes=volumes):
            say(f"==> removed what a killed run had made and Pulumi does not know: {removed}")
        return (exported.deployment or {}).get("resources") or []

    def holder(self) -> str:
        """Who has the stack while another command wants it, and what to do where it is dead."""
        backend = backend_of(self.environ)
        for lock in locks.locks(backend, self.name):
            since = time.strftime("%F %T", time.localtime(lock.since))
            if lock.here:
                return (
                    f"another command has the stack {self.name}: process {lock.pid}, since {since}; "
                    "wait for it, or end it"
                )
            return (
                f"another command has the stack {self.name}: process {lock.pid} on {lock.host}, since {since}; "
                f"where it is dead, delete {lock.path}"
            )
        return (
            f"another update of the stack {self.name} is under way; where it was killed: "
            f"cd {self.state.project_folder} && pulumi cancel --yes {self.name}"
        )


def _perhaps_in_aws(pending: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name and type of what was being made there."""
    made = [item["resource"] for item in pending if item.get("type") == "creating"]
    return sorted(
        f"{str(item['urn']).rpartition('::')[2]} ({item['type']})"
        for item in made
        if str(item.get("type")).startswith("aws:")
    )
