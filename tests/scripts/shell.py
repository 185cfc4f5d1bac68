"""Runs functions and commands of scripts/ in a copy of the repository's outline, with fakes before all else on PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 50

TOOLS = (
    *(
        "awk",
        "basename",
        "bash",
        "cat",
        "chmod",
        "cmp",
        "cp",
        "cut",
        "date",
        "dirname",
        "env",
        "find",
        "flock",
        "grep",
        "gzip",
    ),
    *("head", "id", "ln", "ls", "mkdir", "mktemp", "mv", "paste", "readlink", "rm", "sed", "sh", "sha256sum"),
    *("sleep", "sort", "stty", "tail", "timeout", "touch", "tr", "uname", "wc"),
)
"""What the scripts take from the machine; a uv, a Python or an engine that it has is not seen."""


class Clone:
    """A folder with scripts/ and the locks, and with a home, a cache and a folder for state of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        (folder / "infra").mkdir()
        (folder / "requirements.txt").write_text("infra-thing==1\ntests-thing==1\n")
        (folder / "infra" / "requirements.txt").write_text("infra-thing==1\n")
        (folder / "infra" / "requirements-aws.txt").write_text("aws-thing==1\n")
        shutil.copy(ROOT / "infra" / "images.lock", folder / "infra")
        (folder / "fakes").mkdir()
        (folder / "tools").mkdir()
        for name in TOOLS:
            (folder / "tools" / name).symlink_to(shutil.which(name) or f"/usr/bin/{name}")
        self.environ = {
            "PATH": f"{folder / 'fakes'}:{folder / 'tools'}",
            "HOME": str(folder),
            "VF_CACHE": str(folder / "cache"),
            "VF_STATE": str(folder / "state"),
            "FAKES": str(folder / "fakes"),
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        }

    def fake(self, name: str, script: str) -> None:
        """A command that notes its arguments in the file `asked`, then does what `script` says."""
        path = self.folder / "fakes" / name
        path.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >>"$FAKES/asked"\n{script}\n')
        path.chmod(0o755)

    def part(self, name: str, script: str) -> None:
        """What the part of the set-up does instead of its work."""
        (self.folder / "scripts" / "lib" / f"{name}.sh").write_text(
            f"setup_{name.replace('-', '_')}() {{\n{script}\n}}\n"
        )

    def asked(self, name: str) -> list[str]:
        """The arguments of each call of a fake."""
        path = self.folder / "fakes" / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]

    def setup(self, *parts: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run `scripts/setup`."""
        return self._run([str(self.folder / "scripts" / "setup"), *parts], environ)

    def start(self, *parts: str) -> subprocess.Popen[str]:
        """Start `scripts/setup`, as from a terminal: whoever runs the tests in the background ignores SIGINT."""
        return subprocess.Popen(
            ["env", "--default-signal=INT", str(self.folder / "scripts" / "setup"), *parts],
            env=self.environ,
            stderr=subprocess.PIPE,
            text=True,
        )

    def shell(self, script: str, *libraries: str) -> subprocess.CompletedProcess[str]:
        """Run a script after env.sh and further files of scripts/lib."""
        sources = "".join(f'. "$0/{name}.sh"; ' for name in ("env", *libraries))
        return self._run(["bash", "-euc", sources + script, str(self.folder / "scripts" / "lib")], {})

    def have_ended(self, *names: str) -> bool:
        """Whether the processes whose ids are in these files end within a moment. One that nobody reaps is a Z."""
        pids = [(self.folder / "fakes" / name).read_text().strip() for name in names]
        deadline = time.monotonic() + 10
        while any(_runs(pid) for pid in pids):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _run(self, command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


def _runs(pid: str) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def wait_for(path: Path) -> str:
    """What is in the file, once it ends with a whole line. Raises `TimeoutError`."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text
        time.sleep(0.02)
    raise TimeoutError(f"{path} is not there")
