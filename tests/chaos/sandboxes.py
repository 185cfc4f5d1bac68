"""The sandboxes of the process driver as the operating system shows them: their processes, agents and frame logs."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path


class Sandboxes:
    """All that lives under one root of the process driver."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def pid(self, session: str) -> int:
        """The agent server's id, which is its process group's too; 0 when none runs."""
        folder = self.root / session
        with suppress(FileNotFoundError, ProcessLookupError, ValueError, KeyError):
            pid = int(json.loads((folder / "state.json").read_text())["pid"])
            if f"HOME={folder}/".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                return pid
        return 0

    def agents(self, session: str) -> list[int]:
        """The agent server's children."""
        pid = self.pid(session)
        with suppress(FileNotFoundError):
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def processes(self) -> list[int]:
        """Everything that runs for any of these sandboxes, whoever its parent is by now."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    if f"HOME={self.root}/".encode() in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
        return sorted(found)

    def kill_all(self) -> None:
        """End every one of them, by its id."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def log(self, session: str, run: str) -> list[bytes] | None:
        """The frames in the sandbox's log of a run; None when there is none (any more)."""
        folder = self.root / session / "home" / ".vaporforge" / "runs"
        for path in (folder / f"{run}.jsonl", folder / f"{run}.recorded.jsonl"):
            with suppress(FileNotFoundError):
                return path.read_bytes().splitlines()
        return None

    def is_mid_run(self, session: str, run: str) -> bool:
        """Whether text was written and the end was not; certain only while the sandbox is frozen."""
        frames = self.log(session, run) or []
        return any(b'"text-delta"' in frame for frame in frames) and b'"process-exit"' not in frames[-1]
