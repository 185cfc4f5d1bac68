"""A push on its way: before its last bytes are let through it is known what it would do."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Final

from gateway.broker.git.commits import Commits
from gateway.broker.git.history import MOST_TIPS
from gateway.broker.git.pack_entries import BadPack
from gateway.broker.git.pkt_lines import BadPktLine, Command, Push, PushReader
from gateway.errors import BadRequest

MAX_COMMANDS: Final = 1024 * 1024
KEPT_COMMITS: Final = 16 * 1024 * 1024
"""Bytes of commits in one push: some 50,000 of them. Deltas of more would take the gateway's time."""

UNPACKED_TIMES: Final = 40
"""So many times a push's limit its objects may have, unpacked."""

MOST_ASKED: Final = 32
"""Branches of one push that the host is asked about: each is a request, and a minute at most."""

READ_TIMES: Final = 4
"""So many times a push's limit is read of one that is refused."""

MB: Final = 1024 * 1024

HELD: Final = 64
"""A pack ends in a digest of itself, without which a host takes nothing of it: the last bytes wait for the verdict."""


Ask = Callable[[str, Collection[str]], Awaitable[bool]]


class Pushed:
    """The body of one push. `refused`: each ref and why, where it must not be; nothing of it is done then."""

    def __init__(
        self,
        push: Push,
        read: PushReader,
        body: AsyncIterator[bytes],
        ask: Ask,
        *,
        most: int,
        may_rewrite: bool,
    ) -> None:
        """See `begun`."""
        self._ask = ask
        self._asked = 0
        self.push = push
        self.refused: list[tuple[str, str]] = []
        self._rest = read.rest()
        self._beginning = read.taken()
        self._body = body
        self._most = most
        self._moved = (
            [] if may_rewrite else [one for one in push.commands if not (one.deletes or one.creates)]
        )
        if not may_rewrite:
            self._judge([one for one in push.commands if one.deletes], "deletes a branch or tag")

    @classmethod
    async def begun(cls, body: AsyncIterator[bytes], ask: Ask, *, most: int, may_rewrite: bool) -> Pushed:
        """Once its commands are known. `ask`: the host, where a push leads on from commits that it does not carry: with
        an object's name, and the tips of which one must come from it. `most`: its bytes. `may_rewrite`: branches may be
        deleted, and what they had may be lost. Raises `BadRequest`."""
        reader = PushReader(MAX_COMMANDS)
        try:
            async for piece in body:
                if (push := reader.read(piece)) is not None:
                    return cls(push, reader, body, ask, most=most, may_rewrite=may_rewrite)
        except BadPktLine as error:
            raise BadRequest(f"This is no push that the broker knows: {error}.") from None
        raise BadRequest("The push ended before its commands did.")

    async def pieces(self) -> AsyncIterator[bytes]:
        """It, to be sent on. Raises `PushRefused` before its last bytes where it must not be."""
        head = len(self._beginning) - len(self._rest)
        yield self._beginning[:head]
        if not self._moved:
            async for piece in self._all():
                yield piece
            return
        commits = commits_named_as(self._moved[0].new, self._most * UNPACKED_TIMES)
        held = b""
        async for piece in self._all():
            try:
                await asyncio.to_thread(commits.feed, piece)
            except BadPack as error:
                raise self._all_refused(f"{_NOT_LOOKED_AT}: {error}") from None
            held += piece
            if len(held) > HELD:
                yield held[:-HELD]
                held = held[-HELD:]
        self._judge([one for one in self._moved if not await self._only_adds(commits, one)], _REWRITES)
        if self.refused:
            raise PushRefused
        yield held

    async def _only_adds(self, commits: Commits, one: Command) -> bool:
        try:
            ends = await asyncio.to_thread(commits.ends, one.old, one.new)
        except BadPack as error:
            raise self._all_refused(f"{_NOT_LOOKED_AT}: {error}") from None
        if ends is None:
            return True
        self._asked += 1
        if self._asked > MOST_ASKED:
            raise self._all_refused(
                f"it moves more than {MOST_ASKED} branches to commits that it does not carry: push fewer at once"
            )
        return 0 < len(ends) <= MOST_TIPS and await self._ask(one.old, ends)

    async def rest_read(self) -> None:
        """A git that still sends sees no answer: the rest is read, as far as is reasonable, and dropped."""
        left = self._most * READ_TIMES
        async for piece in self._body:
            left -= len(piece)
            if left < 0:
                return

    def _all_refused(self, why: str) -> PushRefused:
        self.refused = [(one.ref, why) for one in self.push.commands]
        return PushRefused()

    def _judge(self, bad: list[Command], why: str) -> None:
        """All or nothing: a host that was told of half a push would do half of it."""
        refs = {command.ref for command in bad}
        if refs:
            because = f"the broker lets no push through that {why}"
            self.refused = [
                (one.ref, because if one.ref in refs else "not pushed, as another was refused")
                for one in self.push.commands
            ]

    async def _all(self) -> AsyncIterator[bytes]:
        came = len(self._beginning)
        if self._rest:
            yield self._rest
        async for piece in self._body:
            came += len(piece)
            if came > self._most:
                raise self._all_refused(f"a push may have {self._most // MB} MiB at most: push less at once")
            yield piece


_NOT_LOOKED_AT: Final = "the broker cannot look at this push"
_REWRITES: Final = "does not only add commits to what is there (a forced push)"


class PushRefused(Exception):
    """It is not sent to its end."""


def commits_named_as(name: str, unpacked: int) -> Commits:
    """Of objects with names such as this one."""
    digest = hashlib.sha1 if len(name) == 40 else hashlib.sha256
    return Commits(digest=digest, kept_bytes=KEPT_COMMITS, unpacked_bytes=unpacked)
