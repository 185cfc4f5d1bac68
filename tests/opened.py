"""What a test opens piece by piece: all of it is closed at the end, also when the opening fails half-way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Opened(ABC):
    """`async with` it: `_open` opens the pieces, and leaves the closing of each with `_exit`."""

    def __init__(self) -> None:
        self._exit = AsyncExitStack()

    @abstractmethod
    async def _open(self) -> None: ...

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()
