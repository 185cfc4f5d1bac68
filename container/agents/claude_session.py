"""The Claude SDK's session of this sandbox: its id, kept over restarts, and why one can no longer be resumed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

_NOT_FOUND = "No conversation found"
"""What the SDK's program says of a `--resume` whose transcript it does not find."""


class Conversation:
    """Remembers the session's id in the agent's home. Transcripts are the SDK's own, in a folder for each working
    directory: its program has the last word on whether it finds one from where it runs."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file = home / ".vaporforge" / "sdk-session"

    def remembered(self) -> str | None:
        """The id that was remembered last."""
        with contextlib.suppress(OSError, ValueError):
            return self._file.read_text(encoding="ascii").strip() or None
        return None

    def remember(self, session: str | None) -> None:
        """Keep the id. Where that fails the answer goes on: the gateway knows the id too, from the frames."""
        if session == self.remembered():
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(session or "", encoding="ascii")
        except OSError as error:
            sys.stderr.write(f"the session's id is not kept: {error.strerror}\n")

    def why_lost(self, session: str, env: Mapping[str, str], said: str) -> str | None:
        """Why `session` cannot be resumed, in a sentence, when its conversation is what is missing; None when the
        start failed for another reason. `said`: the error; `env`: what the program got on top of this process's."""
        config = Path(
            env.get("CLAUDE_CONFIG_DIR") or os.environ.get("CLAUDE_CONFIG_DIR") or self._home / ".claude"
        )
        if not any(config.glob(f"projects/*/{session}.jsonl")):
            return "The transcript of the earlier conversation is gone; a new one begins."
        if _NOT_FOUND in said:
            return "The earlier conversation was held in another folder and is not found from here; a new one begins."
        return None
