"""What every place for blobs must do: a suite that each implementation's test class inherits, with its `place`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from gateway.store.blobs import BlobNotFound, Blobs

PART = 8 * 1024 * 1024
"""What the largest unit of an implementation is: sizes around it are tried."""


class Place(Protocol):
    """An implementation under test, and a way to look at it from outside."""

    def blobs(self, stack: str = "one") -> Blobs:
        """What a further gateway of a stack has; the place closes it."""

    async def leftovers(self) -> list[str]:
        """Everything that is kept, of whole blobs and of broken-off ones."""


async def chunks(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def read(blobs: Blobs, name: str) -> bytes:
    async with blobs.open(name) as found:
        return b"".join([chunk async for chunk in found])


class BlobsConformance:
    """The sentences of `Blobs`'s docstrings."""

    @pytest.mark.parametrize("size", [0, 1, 100_000, PART - 1, PART, PART + 1, 2 * PART + 12345])
    async def test_what_was_put_is_read(self, place: Place, size: int) -> None:
        content = os.urandom(size)
        assert await place.blobs().put("a", chunks(content)) == size
        assert await read(place.blobs(), "a") == content

    async def test_a_later_one_replaces(self, place: Place) -> None:
        blobs = place.blobs()
        for content in (b"first" * 9, b"second", b""):
            await blobs.put("a", chunks(content))
            assert await read(blobs, "a") == content
        assert len(await place.leftovers()) == 1

    async def test_what_is_not_there_is_said(self, place: Place) -> None:
        blobs = place.blobs()
        for _ in range(2):
            with pytest.raises(BlobNotFound):
                await read(blobs, "a")
            await blobs.delete("a")
        await blobs.put("a", chunks(b"x"))
        await blobs.delete("a")
        with pytest.raises(BlobNotFound):
            await read(blobs, "a")
        assert await place.leftovers() == []

    @pytest.mark.parametrize("size", [10, 3 * PART])
    async def test_one_that_breaks_off_changes_nothing(self, place: Place, size: int) -> None:
        blobs = place.blobs()
        await blobs.put("a", chunks(b"before"))

        async def broken() -> AsyncIterator[bytes]:
            async for chunk in chunks(os.urandom(size)):
                yield chunk
            raise ConnectionResetError("the sandbox is gone")

        for name in ("a", "b"):
            with pytest.raises(ConnectionResetError, match="the sandbox is gone"):
                await blobs.put(name, broken())
        assert await read(blobs, "a") == b"before"
        assert await blobs.list() == ["a"]
        assert len(await place.leftovers()) == 1

    async def test_nothing_is_seen_before_it_is_whole_and_a_cancelled_one_leaves_nothing(
        self, place: Place
    ) -> None:
        blobs, sent = place.blobs(), asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield os.urandom(2 * PART + 1)
            sent.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(blobs.put("a", endless()))
        await sent.wait()
        assert await blobs.list() == []
        with pytest.raises(BlobNotFound):
            await read(blobs, "a")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await place.leftovers() == []

    async def test_two_at_once_leave_one_whole(self, place: Place) -> None:
        contents = [os.urandom(PART + number) for number in range(4)]
        await asyncio.gather(*(place.blobs().put("a", chunks(content)) for content in contents))
        assert await read(place.blobs(), "a") in contents
        assert len(await place.leftovers()) == 1

    async def test_a_reader_gets_one_version(self, place: Place) -> None:
        blobs = place.blobs()
        before = os.urandom(3_000_000)
        await blobs.put("a", chunks(before))
        async with blobs.open("a") as found:
            got = [await anext(found)]
            await blobs.put("a", chunks(os.urandom(3_000_000)))
            got += [chunk async for chunk in found]
        assert b"".join(got) == before

    async def test_names_come_in_order_page_by_page(self, place: Place) -> None:
        blobs = place.blobs()
        assert await blobs.list() == []
        names = ["0", "A-1", "B", "_z", "a", "b_2", "c"]
        for name in reversed(names):
            await blobs.put(name, chunks(b"x"))
        assert await blobs.list() == names
        assert await blobs.list(limit=3) == names[:3]
        assert await blobs.list(after="B", limit=3) == ["_z", "a", "b_2"]
        assert await blobs.list(after="Zzz") == ["_z", "a", "b_2", "c"]
        assert await blobs.list(after="c") == []

    async def test_stacks_in_one_place_do_not_meet(self, place: Place) -> None:
        one, other = place.blobs("one"), place.blobs("other")
        await one.put("a", chunks(b"x"))
        assert await other.list() == []
        await other.delete("a")
        with pytest.raises(BlobNotFound):
            await read(other, "a")
        assert await read(one, "a") == b"x"

    @pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "a b", "a" * 65])
    async def test_no_name_leads_out(self, place: Place, name: str) -> None:
        blobs = place.blobs()
        with pytest.raises(ValueError, match="is no name"):
            await blobs.put(name, chunks(b"x"))
        with pytest.raises(ValueError, match="is no name"):
            await read(blobs, name)
        with pytest.raises(ValueError, match="is no name"):
            await blobs.delete(name)
        assert await place.leftovers() == []

    async def test_closing_twice_is_fine(self, place: Place) -> None:
        blobs = place.blobs()
        await blobs.put("a", chunks(b"x"))
        await blobs.close()
        await blobs.close()
