"""Transactions that are asked for at once go out as one: a crowd costs the table, and boto3, little more than one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.store.client import Table
from gateway.store.requests import ConditionFailed, Write

MOST_WRITES: Final = 99
"""Writes of one transaction: DynamoDB takes 100, and most of those here have three."""

UNDER_WAY: Final = 2
"""Transactions under way at once; what is asked for meanwhile goes with the next."""


@dataclass(eq=False, slots=True)
class _Asked:
    """`alone`: it goes out by itself, for those that it was with have failed."""

    writes: Sequence[Write]
    keys: frozenset[str]
    done: asyncio.Future[None]
    alone: bool = field(default=False)


class GroupCommit:
    """`Table.transact` for many callers. Each gets what it would get alone: where one's conditions do not hold nothing
    of the group was written, and the others go out once more, each by itself."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._waiting: list[_Asked] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_called = False

    async def transact(self, writes: Sequence[Write]) -> None:
        """All the writes or none. Raises what `Table.transact` does. Who is cancelled meanwhile does not know whether
        they were done, as ever."""
        loop = asyncio.get_running_loop()
        asked = _Asked(writes, frozenset(map(_key, writes)), loop.create_future())
        self._waiting.append(asked)
        if not self._is_called:
            self._is_called = True
            loop.call_soon(self._go_on)  # with all that are asked for in the same moment
        await asked.done

    def _go_on(self) -> None:
        self._is_called = False
        self._waiting = [
            asked for asked in self._waiting if not asked.done.done()
        ]  # who was cancelled asks no more
        while self._waiting and len(self._under_way) < UNDER_WAY:
            task = asyncio.create_task(self._commit(self._next()))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._go_on()

    def _next(self) -> list[_Asked]:
        """As many as one transaction can have, in their order: it writes no item twice."""
        group: list[_Asked] = []
        left: list[_Asked] = []
        keys: set[str] = set()
        room = MOST_WRITES
        for asked in self._waiting:
            fits = not group or (
                not asked.alone
                and not group[0].alone
                and len(asked.writes) <= room
                and keys.isdisjoint(asked.keys)
            )
            (group if fits else left).append(asked)
            if fits:
                keys |= asked.keys
                room -= len(asked.writes)
        self._waiting = left
        return group

    async def _commit(self, group: list[_Asked]) -> None:
        try:
            await self._table.transact([write for asked in group for write in asked.writes])
        except ConditionFailed as error:
            at = 0
            for asked in group:
                found = error.found[at : at + len(asked.writes)]
                at += len(asked.writes)
                if len(group) == 1 or any(item is not None for item in found):
                    _settle(asked, ConditionFailed(found))
                else:
                    asked.alone = True
                    self._waiting.append(asked)
        except BaseException as error:
            for asked in group:
                _settle(asked, error if isinstance(error, Exception) else asyncio.CancelledError())
            if not isinstance(error, Exception):
                raise
        else:
            for asked in group:
                _settle(asked, None)


def _settle(asked: _Asked, error: BaseException | None) -> None:
    if asked.done.done():
        return
    if error is None:
        asked.done.set_result(None)
    elif isinstance(error, asyncio.CancelledError):
        asked.done.cancel()
    else:
        asked.done.set_exception(error)


def _key(write: Write) -> str:
    """What tells the item that it writes from all others."""
    key: dict[str, Any] = write.request.get("Key") or write.request["Item"]
    return repr((key["pk"], key["sk"]))
