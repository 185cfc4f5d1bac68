"""What goes to a git host: headers with the user's token, and bodies as they come, counted."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web
from multidict import CIMultiDict

from gateway import errors
from gateway.broker.git.asked import Asked, Service
from gateway.broker.git.pushed import PushRefused

if TYPE_CHECKING:
    from gateway.broker.git.grants import Grant
    from gateway.quotas.service import Traffic

MB: Final = 1024 * 1024

NEGOTIATION: Final = 16 * MB
"""What a fetch may say it has and wants."""

TAKEN_SECONDS: Final = 600.0
"""A host that takes nothing of a body for so long is given up, as one that says nothing is."""

_PASSED_ON: Final = frozenset({"accept", "accept-language", "content-type", "user-agent"})
_GZIP: Final = frozenset({"gzip", "x-gzip", "identity"})


def sent_headers(request: web.Request, asked: Asked, grant: Grant) -> CIMultiDict[str]:
    """The headers that go to the host."""
    headers = CIMultiDict(
        (name, value) for name, value in request.headers.items() if name.lower() in _PASSED_ON
    )
    headers[hdrs.ACCEPT_ENCODING] = "identity"
    if asked.service is Service.FETCH:
        if protocol := request.headers.get("Git-Protocol"):
            headers["Git-Protocol"] = protocol
        # Git packs what it says to a host; it goes on as it is, and is opened by nobody here.
        encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower()
        if encoding not in _GZIP:
            raise errors.UnsupportedEncoding("git sends gzip or nothing; this is neither.")
        if encoding != "identity":
            headers[hdrs.CONTENT_ENCODING] = encoding
    headers.update(authorization(grant))
    return headers


def authorization(grant: Grant) -> dict[str, str]:
    if not grant.token:
        return {}
    plain = f"{grant.user or 'x-access-token'}:{grant.token}"
    return {hdrs.AUTHORIZATION: f"Basic {b64encode(plain.encode()).decode()}"}


async def bounded(request: web.Request) -> AsyncIterator[bytes]:
    came = 0
    async for piece in request.content.iter_any():
        came += len(piece)
        if came > NEGOTIATION:
            raise errors.PayloadTooLarge(f"What a fetch says may have at most {NEGOTIATION // MB} MiB.")
        yield piece


async def counted(data: AsyncIterator[bytes], traffic: Traffic) -> AsyncIterator[bytes]:
    async for piece in data:
        await traffic.passed(len(piece))
        yield piece


class Sent:
    """A request's body on its way. The client makes an error of its own of what a body raises, or none where the answer
    has begun: `failure` is what it was."""

    def __init__(self, data: AsyncIterator[bytes], deadline: asyncio.Timeout) -> None:
        """`deadline`: of who waits for the answer; it runs while the host lets a piece wait."""
        self._data = data
        self._deadline = deadline
        self._ended = asyncio.Event()
        self.failure: errors.VaporForgeError | PushRefused | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """It, once."""
        clock = asyncio.get_running_loop().time
        try:
            async for piece in self._data:
                self._deadline.reschedule(clock() + TAKEN_SECONDS)
                yield piece
                self._deadline.reschedule(None)
        except (errors.VaporForgeError, PushRefused) as error:
            self.failure = error
            raise
        finally:
            self._ended.set()

    async def whole(self) -> None:
        """Once all of it is on its way. Raises `failure`."""
        await self._ended.wait()
        self._deadline.reschedule(None)  # the host may have answered without all of it
        if self.failure is not None:
            raise self.failure
