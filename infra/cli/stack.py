"""A stack for the commands: the repository's project and program through Pulumi's Automation API."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi.automation import (
    CommandError,
    ConcurrentUpdateError,
    InvalidVersionError,
    LocalWorkspace,
    Stack,
    StackAlreadyExistsError,
    StackNotFoundError,
)

from infra.cli.console import Progress, say
from infra.cli.dockerplugin import plugin_environment
from infra.cli.engine import lost_images
from infra.cli.errors import CliError
from infra.cli.state import State, machine_defaults
from infra.config import PROJECT
from infra.program import program


@dataclass(frozen=True, slots=True)
class Deployment:
    """A stack on this machine. Every method raises `CliError` with the engine's own reasons."""

    name: str
    state: State
    environ: Mapping[str, str]

    @classmethod
    def of_machine(cls, name: str, *, plugin: bool = True) -> Deployment:
        """`plugin`: whether the docker plugin is needed; reading outputs needs none."""
        if shutil.which("pulumi") is None:
            raise CliError("there is no pulumi on PATH; scripts/setup pulumi gets it")
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
        with self._failures_told():
            try:
                Stack.create(self.name, self._workspace())
            except StackAlreadyExistsError:
                return

    def remember(self, values: Mapping[str, str | None], secrets: Mapping[str, str]) -> None:
        """Keep configuration for this and later updates; `secrets` are kept encrypted."""
        if secrets:
            self.state.check_one_salt(self.name, more_secrets=True)
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

    def up(self, *, running: bool) -> dict[str, Any]:
        """Update the stack, to `running` whatever its configuration says; its outputs, secrets in the clear."""
        path = self._config_file({"running": str(running).lower()})
        progress = Progress()
        with self._failures_told(progress):
            stack = self._select()
            # An image that was deleted on the engine is no change to Pulumi, and nothing would build it again.
            lost = self._lost_images(stack) if running else {}
            for name in lost.values():
                say(f"==> the image {name} is no longer on the Docker engine: it is built again")
            result = stack.up(config_file=path, on_event=progress, replace=list(lost) or None)
        return {key: output.value for key, output in result.outputs.items()}

    def preview(self, values: Mapping[str, str | None]) -> int:
        """Tell on stdout what `up` would change, had it been told to `remember` these values first; how many changes
        that is. Nothing is done and nothing is remembered: a stack that this has to make it deletes again."""
        path = self._config_file({"running": "true"}, values)
        progress = Progress(planned=True)
        try:
            with self._made_for_now(), self._failures_told(progress):
                stack = self._select()
                lost = self._lost_images(stack)
                stack.preview(config_file=path, on_event=progress, replace=list(lost) or None)
        finally:
            Path(path).unlink(missing_ok=True)
        return progress.changes

    def destroy(self) -> None:
        """Delete everything of the stack, its data and its secrets too, and the stack."""
        path = self._config_file({})
        try:
            self._destroy(path, refresh=False)
        except CliError as error:
            if isinstance(error.__cause__, ConcurrentUpdateError):
                raise
            say(f"{error}\n==> once more, after a look at what is still there")
            self._destroy(path, refresh=True)
        with self._failures_told():
            self._select().workspace.remove_stack(self.name, preserve_config=True)
        self.state.own_file(self.name).unlink(missing_ok=True)
        Path(path).unlink(missing_ok=True)

    def _destroy(self, path: str, *, refresh: bool) -> None:
        progress = Progress()
        with self._failures_told(progress):
            self._select().destroy(config_file=path, on_event=progress, refresh=refresh)

    def outputs(self) -> dict[str, Any]:
        """The outputs of the last update, secrets in the clear; empty when there was none."""
        with self._failures_told():
            return {key: output.value for key, output in self._select().outputs().items()}

    def exists(self) -> bool:
        """Whether the stack was ever made."""
        with self._failures_told():
            try:
                self._select()
            except StackNotFoundError:
                return False
        return True

    def _config_file(
        self, changes: Mapping[str, str], planned: Mapping[str, str | None] | None = None
    ) -> str:
        elsewhere = bool(self.state.configured(self.name).get("dockerHost"))
        defaults = machine_defaults(self.environ, self.state.folder.parent, elsewhere=elsewhere)
        return str(self.state.write_merged(self.name, defaults, changes, planned))

    @contextmanager
    def _made_for_now(self) -> Iterator[None]:
        """The stack is there; afterwards one that was not is gone again, with the salt that Pulumi wrote for it."""
        own = self.state.own_file(self.name)
        was_told = own.is_file()
        if self.exists():
            yield
            return
        self.create()
        try:
            yield
        finally:
            with self._failures_told():
                self._select().workspace.remove_stack(self.name, preserve_config=True)
            if not was_told:
                own.unlink(missing_ok=True)

    def _lost_images(self, stack: Stack) -> dict[str, str]:
        resources = (stack.export_stack().deployment or {}).get("resources") or []
        return lost_images(resources, self.state.configured(self.name).get("dockerHost", ""), self.environ)

    def _select(self) -> Stack:
        return Stack.select(self.name, self._workspace())

    def _workspace(self) -> LocalWorkspace:
        folder = str(self.state.project_folder)
        return LocalWorkspace(work_dir=folder, program=program, env_vars=dict(self.environ))

    @contextmanager
    def _failures_told(self, progress: Progress | None = None) -> Iterator[None]:
        """What Pulumi reports as `CliError`: the errors that `progress` has seen, else its own lines."""
        try:
            yield
        except ConcurrentUpdateError as error:
            raise CliError(
                f"another update of the stack {self.name} is under way; "
                "where it was killed, `pulumi cancel` frees the stack"
            ) from error
        except CommandError as error:
            seen = progress.errors if progress is not None else []
            raise CliError("\n".join(seen) or _reason(error)) from error
        except InvalidVersionError as error:
            raise CliError(f"pulumi is too old ({error}); scripts/setup pulumi gets a newer one") from error


def _reason(error: CommandError) -> str:
    """The errors among its words, which are ` code: …`, ` stdout: …` and ` stderr: …`, the last two with many lines."""
    told = re.findall(r"^\s*(?:stderr: )?error: (.*)$", str(error), re.MULTILINE)
    return "\n".join(told) or str(error)
