"""Which docker plugin the Pulumi engine gets: the official one, or where that cannot be had our stand-in.

Each fills in what the other leaves open, so that a stack that changes from one to the other may get new containers and
networks. So the choice is made once for a stack, at its first update, written down, and kept until somebody asks.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from infra.cli.console import told
from infra.cli.errors import CliError

VERSION: Final = metadata.version("pulumi-docker")

OFFICIAL: Final = "official"
STAND_IN: Final = "stand-in"
PLUGINS: Final = (OFFICIAL, STAND_IN)

INSTALL_SECONDS: Final = 180

REMEMBERED_SECONDS: Final = 24 * 3600
"""For so long a failed download is not tried again for a new stack."""

FOLDER: Final = Path(__file__).resolve().parent.parent / "plugin"


@dataclass(frozen=True, slots=True)
class Choice:
    """The plugin of a stack. `moved`: the stack had the other one. `words`: what its user is told, if anything."""

    name: str
    moved: bool = False
    words: str = ""

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """What must be added to the environment of `pulumi`."""
        if self.name == OFFICIAL:
            return {}
        return {
            "PATH": f"{FOLDER}{os.pathsep}{environ.get('PATH', os.defpath)}",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }


@dataclass(frozen=True, slots=True)
class Plugins:
    """The choices of this machine's stacks, each in a file of the folder `state`."""

    state: Path
    environ: Mapping[str, str]

    def choose(self, stack: str, *, exists: bool, asked: str = "") -> Choice:
        """`exists`: whether the stack was made before; `asked`: the plugin that its user wants. Raises `CliError` when
        that, or the stack's own, cannot be had."""
        kept = self.kept(stack) or (self._earlier() if exists else "")
        wanted = asked or kept
        if not wanted:
            return self._first()
        if wanted == OFFICIAL and not self._get():
            how = (
                f"the stack {stack} is deployed with it; scripts/up --docker-plugin {STAND_IN} moves it to the "
                "stand-in in infra/plugin"
                if kept == OFFICIAL
                else "nothing was changed"
            )
            raise CliError(f"the official docker plugin {VERSION} cannot be downloaded: {how}")
        if kept and wanted != kept:
            return Choice(wanted, moved=True, words=_moves(stack, kept, wanted))
        return Choice(wanted, words=self._as_before(stack) if wanted == STAND_IN else "")

    def kept(self, stack: str) -> str:
        """What was written down for the stack; empty where nothing was."""
        try:
            text = self._file(stack).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        return text if text in PLUGINS else ""

    def keep(self, stack: str, choice: Choice) -> None:
        """Write it down: from now on the stack's state is of this plugin."""
        self._file(stack).parent.mkdir(mode=0o700, exist_ok=True)
        self._file(stack).write_text(f"{choice.name}\n", encoding="utf-8")

    def forget(self, stack: str) -> None:
        """For a stack that is gone."""
        self._file(stack).unlink(missing_ok=True)

    def _file(self, stack: str) -> Path:
        return self.state / "docker-plugins" / stack

    @property
    def _unreachable(self) -> Path:
        return self.state / "docker-plugin-unreachable"

    def _first(self) -> Choice:
        if self._has_official():
            return Choice(OFFICIAL)
        marker = self._unreachable
        fresh = marker.is_file() and time.time() - marker.stat().st_mtime < REMEMBERED_SECONDS
        if (not fresh or marker.read_text(encoding="utf-8") != VERSION) and self._get():
            return Choice(OFFICIAL)
        return Choice(
            STAND_IN,
            words=f"the official docker plugin {VERSION} cannot be downloaded: the stand-in in infra/plugin does its "
            "work for this stack, from now on",
        )

    def _earlier(self) -> str:
        # VaporForge 0.20 wrote nothing down; it left the marker where the stand-in did the work.
        return STAND_IN if self._unreachable.is_file() else ""

    def _as_before(self, stack: str) -> str:
        sentence = f"the stand-in in infra/plugin does the docker plugin's work for {stack}, as before"
        if self._has_official():
            sentence += f" (scripts/up --docker-plugin {OFFICIAL} moves it to the official one)"
        return sentence

    def _has_official(self) -> bool:
        home = Path(self.environ.get("PULUMI_HOME") or "~/.pulumi").expanduser()
        return (home / "plugins" / f"resource-docker-v{VERSION}").is_dir()

    def _get(self) -> bool:
        if self._has_official():
            return True
        if _install(self.environ):
            self._unreachable.unlink(missing_ok=True)
            return True
        self._unreachable.write_text(VERSION, encoding="utf-8")
        return False


def _moves(stack: str, kept: str, wanted: str) -> str:
    sentence = f"the stack {stack} moves from the {kept} docker plugin to the {wanted}, which "
    if wanted == STAND_IN:
        return sentence + "keeps what the other filled in"
    return sentence + (
        "first looks at what is there; what it fills in differently it makes anew, and while that is the proxy or a "
        f"network nobody gets in (scripts/up --preview --docker-plugin {wanted} shows what)"
    )


def _install(environ: Mapping[str, str]) -> bool:
    command = ["pulumi", "plugin", "install", "resource", "docker", VERSION]
    try:
        with told(f"asking for the docker plugin {VERSION}, {INSTALL_SECONDS} s at most"):
            done = subprocess.run(
                command, env=dict(environ), capture_output=True, timeout=INSTALL_SECONDS, check=False
            )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
