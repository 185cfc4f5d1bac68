"""Stacks of the aws target, deployed by the real engine into a ministack: what was done, and what is there."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from pulumi.automation import LocalWorkspace, Stack

from infra.cli.state import State
from infra.config import PROJECT, ROOT
from infra.program import program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pulumi.automation import EngineEvent

PLUGINS = ROOT / "tests" / "aws" / "plugin"


@dataclass
class Done:
    """What an operation did. `changes`: `operation name` of each resource that was not as it should be."""

    changes: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def see(self, event: EngineEvent) -> None:
        """Of the engine, while it is at work."""
        if event.resource_pre_event is None:
            return
        step = event.resource_pre_event.metadata
        operation = getattr(step.op, "value", step.op)
        if operation not in {"same", "read", "refresh"}:
            kind, _, name = step.urn.rpartition("::")
            self.changes.append(f"{operation} {kind.rpartition('$')[2].rpartition('::')[2]} {name}")

    def of(self, operation: str) -> list[str]:
        """`type name` of those that were so changed."""
        first = f"{operation} "
        return sorted(item.removeprefix(first) for item in self.changes if item.startswith(first))


class AwsStack:
    """One stack, with its state in `folder`. Every operation raises the Automation API's errors."""

    def __init__(self, name: str, folder: Path, *, images: str = "unbuilt") -> None:
        """`images`: `local` has them built by this machine's engine."""
        self.name = name
        self._state = State(folder)
        self._backend = folder / "backend"
        self._backend.mkdir(parents=True)
        self._config = folder / "config.yaml"
        self._config.write_text("{}")
        environ = {
            "PATH": f"{PLUGINS}{os.pathsep}{os.environ['PATH']}",
            "PULUMI_BACKEND_URL": self._backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "of this test",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "VF_PYTHON": sys.executable,
            "VF_TEST_IMAGES": images,
        }
        workspace = LocalWorkspace(
            work_dir=str(self._state.project_folder), program=program, env_vars=environ
        )
        self._stack = Stack.create(name, workspace)

    def up(self, *, replace: Sequence[str] = (), **config: str) -> Done:
        """Update to these settings, keys without the project. `replace`: URNs of what is made anew in any case."""
        settings = {"target": "aws", "region": "us-east-1", **config}
        values = {f"{PROJECT}:{key}": value for key, value in settings.items()}
        self._config.write_text(yaml.safe_dump({"config": values}))
        done = Done()
        result = self._stack.up(on_event=done.see, config_file=str(self._config), replace=list(replace))
        done.outputs = {key: output.value for key, output in result.outputs.items()}
        return done

    def refresh(self) -> Done:
        """Look at everything; the changes are what is otherwise than the state says."""
        done = Done()
        result = self._stack.refresh(config_file=str(self._config))
        counts = result.summary.resource_changes or {}
        done.changes = [f"{operation} {count}" for operation, count in counts.items() if operation != "same"]
        return done

    def preview_destroy(self) -> None:
        """What `pulumi destroy` does first, and stops at where it fails."""
        self._stack.preview_destroy(config_file=str(self._config))

    def destroy(self, *, exclude_protected: bool = False) -> Done:
        done = Done()
        self._stack.destroy(
            on_event=done.see, config_file=str(self._config), exclude_protected=exclude_protected
        )
        return done

    def state(self) -> str:
        """As it is kept on disk."""
        [file] = self._backend.rglob(f"stacks/**/{self.name}.json")
        return file.read_text(encoding="utf-8")
