"""The bodies of sandboxes' requests: taken whole, within bounds, and judged before anything of them goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final, Self

from gateway import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

    from aiohttp import web

    from gateway.config import Settings

OF_A_SANDBOX: Final = 2
IN_ALL: Final = 8
"""How many of the longest bodies are held at once, of one sandbox and of all; shorter ones by their bytes."""

LARGE: Final = 256 * 1024
"""A longer body is judged in a thread, one at a time; a shorter one is judged in less time than a thread takes."""

PIECE: Final = 256 * 1024


class Bodies:
    """What is held of bodies now."""

    def __init__(self, settings: Settings) -> None:
        self._longest = settings.call_mb * 1024 * 1024
        self._held: Counter[str] = Counter()
        self._all = 0
        self._one = asyncio.Lock()

    def of(self, request: web.Request, session: str) -> Body:
        """A request's body, to be entered, and held until it is left or sent."""
        return Body(self, request, session)

    async def judged(self, raw: bytes, judge: Callable[[bytes], bytes]) -> bytes:
        """What `judge` makes of it, away from the event loop when it is large. Raises what `judge` raises."""
        if len(raw) <= LARGE:
            return judge(raw)
        async with self._one:
            return await asyncio.to_thread(judge, raw)

    def too_large(self) -> errors.PayloadTooLarge:
        """What is raised for a longer body than may be."""
        return errors.PayloadTooLarge(
            f"A body may have at most {self._longest // (1024 * 1024)} MiB; send less."
        )

    def take(self, session: str, size: int, came: int) -> None:
        """Hold `size` bytes more of a body of which `came` have come. Raises `PayloadTooLarge`, `TooMany` when the
        sandbox, and `Unavailable` when the gateway has too much of bodies."""
        if came > self._longest:
            raise self.too_large()
        if self._held[session] + size > OF_A_SANDBOX * self._longest:
            raise errors.TooMany(
                "This sandbox sends too much at once; wait until a call has been sent.", retry_after=1
            )
        if self._all + size > IN_ALL * self._longest:
            raise errors.Unavailable("The broker has too much to send on at the moment; try again.")
        self._held[session] += size
        self._all += size

    def drop(self, session: str, size: int) -> None:
        """Hold so much less."""
        self._all -= size
        self._held[session] -= size
        if not self._held[session]:
            del self._held[session]


class Body:
    """One body, held from its first byte."""

    def __init__(self, bodies: Bodies, request: web.Request, session: str) -> None:
        self._bodies = bodies
        self._request = request
        self._session = session
        self._size = 0
        self._data = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()

    def __len__(self) -> int:
        return len(self._data)

    async def take(self, judge: Callable[[bytes], bytes]) -> None:
        """Read it to its end and keep what `judge` makes of it. Raises what `Bodies.take` and `judge` raise."""
        if (self._request.content_length or 0) > self._bodies._longest:  # noqa: SLF001 - its own
            raise self._bodies.too_large()
        chunks: list[bytes] = []
        async for chunk in self._request.content.iter_any():
            self._bodies.take(self._session, len(chunk), self._size + len(chunk))
            self._size += len(chunk)
            chunks.append(chunk)
        self._data = await self._bodies.judged(b"".join(chunks), judge)

    async def pieces(self) -> AsyncIterator[bytes]:
        """It, to be sent; once that is done it is held no more."""
        data = self._data
        for start in range(0, len(data), PIECE):
            yield data[start : start + PIECE]
        self._let_go()

    def _let_go(self) -> None:
        self._data = b""
        if self._size:
            self._bodies.drop(self._session, self._size)
            self._size = 0
