"""Which names git ignores, by its own word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from container.files import programs
from container.uids import AgentUser

SECONDS: Final = 5.0
"""For an answer: who gets none in time ignores nothing."""

ALWAYS: Final = frozenset({b".git"})

_ASK: Final = (b"git", b"-c", b"core.fsmonitor=false", b"check-ignore", b"-z", b"--stdin")


async def ignored(
    names: Sequence[bytes], folder: bytes, user: AgentUser, env: Mapping[str, str]
) -> frozenset[bytes]:
    """Those of a folder's names that git ignores, and git's own folder; outside of a repository that alone."""
    own = frozenset(name for name in names if name in ALWAYS)
    asked = [name for name in names if name not in ALWAYS]
    if not asked:
        return own
    given = b"".join(b"./" + name + b"\0" for name in asked)
    said = await programs.run(_ASK, folder, user, env, given=given, limit=len(given) + 1, seconds=SECONDS)
    found = (name.removeprefix(b"./") for name in said.output.split(b"\0") if name)
    return own | frozenset(found) if said.whole else own
