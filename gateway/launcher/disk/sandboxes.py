"""What the watch of the disk wants of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Sandboxes(Protocol):
    """The stack's sandboxes. Each call raises `SandboxUnavailable` when the engine is away."""

    async def running(self) -> Mapping[str, str]:
        """Session → container of all that run, those that are held still too."""

    async def held(self) -> Sequence[str]:
        """The containers that are held still."""

    async def hold(self, container: str, held: bool) -> None:
        """Have a container held still, or go on; one that has ended is success."""

    async def cut(self, container: str, reason: str) -> None:
        """Kill a container; its session's next one is told the reason. One that has ended is success."""
