"""A stack for the commands: the repository's project and program through Pulumi's Automation API."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi.automation import (
    CommandError,
    ConcurrentUpdateError,
    LocalWorkspace,
    Stack,
    StackAlreadyExistsError,
    StackNotFoundError,
)

from infra.cli.console import Progress
from infra.cli.dockerplugin import plugin_environment
from infra.cli.state import State, machine_defaults
from infra.config import PROJECT
from infra.program import program


class CliError(Exception):
    """A command failed; the message is all that its user reads."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A stack on this machine. Every method raises `CliError` with the engine's own reasons."""

    name: str
    state: State
    environ: Mapping[str, str]

    @classmethod
    def of_machine(cls, name: str, *, plugin: bool = True) -> Deployment:
        """`plugin`: whether the docker plugin is needed; reading outputs needs none."""
        state = State.of_machine(os.environ)
        environ = {**os.environ, **state.environment(os.environ)}
        environ |= {"PULUMI_PYTHON_CMD": sys.executable, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        if plugin:
            environ |= plugin_environment(environ, state.folder)
        return cls(name, state, environ)

    def create(self) -> None:
        """Make the stack unless it is there."""
        if self.exists():
            return
        try:
            Stack.create(self.name, self._workspace())
        except StackAlreadyExistsError:
            return
        except CommandError as error:
            raise CliError(_reason(error)) from error

    def remember(self, values: Mapping[str, str | None], secrets: Mapping[str, str]) -> None:
        """Keep configuration for this and later updates; `secrets` are kept encrypted."""
        self.state.write_own(self.name, values)
        for key, value in secrets.items():
            command = ["pulumi", "config", "set", "--stack", self.name, "--secret", f"{PROJECT}:{key}"]
            done = subprocess.run(
                command,
                cwd=self.state.project_folder,
                env=dict(self.environ),
                input=value,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise CliError(f"vaporforge:{key} could not be stored: {done.stderr.strip()}")

    def up(self, **changes: str) -> dict[str, Any]:
        """Update the stack, with `changes` to its configuration for this time; its outputs, secrets in the clear."""
        config = {**machine_defaults(self.environ, self.state.folder.parent), **changes}
        path = self._config_file(config)
        result = self._told(lambda stack, show: stack.up(config_file=path, on_event=show))
        return {key: output.value for key, output in result.outputs.items()}

    def destroy(self) -> None:
        """Delete everything of the stack, its data and its secrets too, and the stack."""
        path = self._config_file(machine_defaults(self.environ, self.state.folder.parent))
        self._told(lambda stack, show: stack.destroy(config_file=path, on_event=show))
        self._select().workspace.remove_stack(self.name, preserve_config=True)
        self.state.own_file(self.name).unlink(missing_ok=True)
        Path(path).unlink(missing_ok=True)

    def outputs(self) -> dict[str, Any]:
        """The outputs of the last update, secrets in the clear; empty when there was none."""
        return {key: output.value for key, output in self._select().outputs().items()}

    def exists(self) -> bool:
        """Whether the stack was ever made."""
        try:
            self._select()
        except StackNotFoundError:
            return False
        return True

    def _config_file(self, defaults: Mapping[str, str]) -> str:
        return str(self.state.write_merged(self.name, defaults))

    def _select(self) -> Stack:
        return Stack.select(self.name, self._workspace())

    def _workspace(self) -> LocalWorkspace:
        folder = str(self.state.project_folder)
        return LocalWorkspace(work_dir=folder, program=program, env_vars=dict(self.environ))

    def _told(self, act: Callable[[Stack, Progress], Any]) -> Any:
        progress = Progress()
        try:
            return act(self._select(), progress)
        except ConcurrentUpdateError as error:
            raise CliError(
                f"another update of the stack {self.name} is under way; "
                "where it was killed, `pulumi cancel` frees the stack"
            ) from error
        except CommandError as error:
            raise CliError("\n".join(progress.errors) or _reason(error)) from error


def _reason(error: CommandError) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line.startswith("error:")]
    return "\n".join(told) or str(error)
