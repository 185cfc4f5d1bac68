"""A stack for the commands: the repository's project and program through Pulumi's Automation API."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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

from infra.cli.console import Progress, say, told
from infra.cli.dockerplugin import OFFICIAL, Choice, Plugins
from infra.cli.engine import lost_images
from infra.cli.errors import CliError
from infra.cli.recovery.backend import backend_of, repair
from infra.cli.recovery.mend import Recovery
from infra.cli.recovery.processes import mark
from infra.cli.state import State, machine_defaults
from infra.config import PROJECT
from infra.program import program


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """How many `changes` an update would make, and the stack's `outputs` as far as they are known before it."""

    changes: int
    outputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deployment:
    """A stack on this machine. Every method raises `CliError` with the engine's own reasons. `choice`: its docker
    plugin; None where none is needed."""

    name: str
    state: State
    environ: Mapping[str, str]
    choice: Choice | None = None

    @classmethod
    def of_machine(cls, name: str, *, plugin: bool = True, asked: str = "") -> Deployment:
        """`plugin`: whether the docker plugin is needed; reading outputs needs none. `asked`: the one that the user
        wants for the stack from now on; without it the stack keeps the one that it has."""
        if shutil.which("pulumi") is None:
            raise CliError("there is no pulumi on PATH; scripts/setup pulumi gets it")
        state = State.of_machine(os.environ)
        environ = {**os.environ, **state.environment(os.environ)}
        # The second is for the states of VaporForge 0.20; our own plugin takes the first.
        environ |= {"VF_PYTHON": sys.executable, "PULUMI_PYTHON_CMD": sys.executable}
        environ |= {"PULUMI_SKIP_UPDATE_CHECK": "true"}
        environ |= mark(state.folder, name)
        made = cls(name, state, environ)
        return made._with_plugin(asked) if plugin else made

    def _with_plugin(self, asked: str) -> Deployment:
        plugins = Plugins(self.state.folder, self.environ)
        exists = bool(plugins.kept(self.name)) or self.exists()
        choice = plugins.choose(self.name, exists=exists, asked=asked)
        if choice.words:
            say(f"==> {choice.words}")
        return replace(self, environ={**self.environ, **choice.environment(self.environ)}, choice=choice)

    @property
    def _refreshes(self) -> bool | None:
        # The official plugin compares with what it has read itself, and what the stand-in wrote is less than that.
        return True if self.choice and self.choice.moved and self.choice.name == OFFICIAL else None

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
            resources = self._recovery.mend(stack, path)
            # An image that was deleted on the engine is no change to Pulumi, and nothing would build it again.
            lost = self._lost_images(resources) if running else {}
            for name in lost.values():
                say(f"==> the image {name} is no longer on the Docker engine: it is built again")
            if self.choice:
                Plugins(self.state.folder, self.environ).keep(self.name, self.choice)
            with told(progress.doing):
                result = stack.up(
                    config_file=path, on_event=progress, replace=list(lost) or None, refresh=self._refreshes
                )
        return {key: output.value for key, output in result.outputs.items()}

    def preview(self, values: Mapping[str, str | None]) -> Preview:
        """Tell on stdout what `up` would change, had it been told to `remember` these values first. Nothing is done
        and nothing is remembered: a stack that this has to make it deletes again."""
        path = self._config_file({"running": "true"}, values)
        progress = Progress(planned=True)
        try:
            with self._made_for_now(), self._failures_told(progress):
                stack = self._select()
                self._recovery.free()
                lost = self._lost_images((stack.export_stack().deployment or {}).get("resources") or [])
                with told(progress.doing):
                    stack.preview(
                        config_file=path,
                        on_event=progress,
                        replace=list(lost) or None,
                        refresh=self._refreshes,
                    )
        finally:
            Path(path).unlink(missing_ok=True)
        return Preview(changes=progress.changes, outputs=progress.outputs)

    def destroy(self) -> None:
        """Delete everything of the stack, its data and its secrets too, and the stack. Raises `CliError` for a
        protected one, before anything is deleted."""
        path = self._config_file({})
        with self._failures_told():
            self._refuse_protected(self._recovery.mend(self._select(), path, volumes=True))
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
        Plugins(self.state.folder, self.environ).forget(self.name)
        Path(path).unlink(missing_ok=True)

    def _refuse_protected(self, resources: Sequence[Mapping[str, Any]]) -> None:
        # Pulumi, without a preview, deletes all around it first.
        kept = sorted(str(item["urn"]).rpartition("::")[2] for item in resources if item.get("protect"))
        if kept:
            raise CliError(
                f"the stack {self.name} is protected, and nothing of it was deleted: {', '.join(dict.fromkeys(kept))} "
                f"would go. scripts/up --stack {self.name} --set protect=false, then this again, deletes all; "
                f"scripts/down --stack {self.name} stops it and keeps its data"
            )

    def _destroy(self, path: str, *, refresh: bool) -> None:
        progress = Progress()
        with self._failures_told(progress):
            stack = self._select()
            with told(progress.doing):
                stack.destroy(config_file=path, on_event=progress, refresh=refresh)

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

    @property
    def _engine(self) -> str:
        return str(self.state.configured(self.name).get("dockerHost", ""))

    @property
    def _recovery(self) -> Recovery:
        return Recovery(self.name, self.state, self.environ, self._engine)

    def _lost_images(self, resources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        return lost_images(resources, self._engine, self.environ)

    def _select(self) -> Stack:
        if repair(backend_of(self.environ), self.name):
            say(f"==> what a killed run left half written beside the state of {self.name} is taken away")
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
            raise CliError(self._recovery.holder()) from error
        except CommandError as error:
            seen = progress.errors if progress is not None else []
            raise CliError("\n".join(seen) or _reason(error)) from error
        except InvalidVersionError as error:
            raise CliError(f"pulumi is too old ({error}); scripts/setup pulumi gets a newer one") from error


def _reason(error: CommandError) -> str:
    """The errors among its words, which are ` code: …`, ` stdout: …` and ` stderr: …`, the last two with many lines."""
    told = re.findall(r"^\s*(?:stderr: )?error: (.*)$", str(error), re.MULTILINE)
    if not told and re.match(r"\s*code: -\d", str(error)):
        return "pulumi was killed; the same command again puts right what it left, and goes on"
    return "\n".join(told) or str(error)
