"""Git's identity of whoever asks: at the bottom of git's configuration, so that any that the user sets wins."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from container.uids import SAME, AgentUser

log = logging.getLogger(__name__)

SYSTEM: Final = "/etc/gitconfig"
"""Git reads our file in its place (`GIT_CONFIG_SYSTEM`, git-config(1)), so ours reads it."""


def write_identity(path: Path, author: Mapping[str, str], user: AgentUser = SAME) -> None:
    """Make `author`, `{name, email}`, whoever commits. A disk that is full keeps nobody from an answer."""
    text = (
        f"[include]\n\tpath = {_quoted(SYSTEM)}\n"
        f"[user]\n\tname = {_quoted(author['name'])}\n\temail = {_quoted(author['email'])}\n"
    )
    try:
        with user.acting():
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".new")
            draft.unlink(missing_ok=True)
            draft.write_text(text, "utf-8")
            draft.replace(path)
    except OSError as error:
        log.warning("git's identity is not kept: %s", error)


def _quoted(value: str) -> str:
    """A value of git's configuration (git-config(1), Syntax)."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
