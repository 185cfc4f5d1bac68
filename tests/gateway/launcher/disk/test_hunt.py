"""Finding who fills a disk unseen: the writer among many, nobody when it is none of them, and all go on behind it."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.launcher.disk.hunt import find_writer

MIB = 1024 * 1024
SECONDS = 0.02


class Disk:
    """It fills by 1,000 MiB a second, by each writer that is not held still; `others`: by what is no sandbox."""

    def __init__(self, *writers: str, others: int = 0) -> None:
        self.writers = set(writers)
        self.others = others
        self.held: set[str] = set()
        self.most_held = 0
        self._free = 1_000_000.0 * MIB
        self._at = time.monotonic()

    async def free(self) -> int:
        now = time.monotonic()
        self._free -= (1000 * len(self.writers - self.held) + self.others) * MIB * (now - self._at)
        self._at = now
        return int(self._free)

    async def hold(self, container: str, held: bool) -> None:
        await self.free()
        (self.held.add if held else self.held.discard)(container)
        self.most_held = max(self.most_held, len(self.held))


async def _find(disk: Disk, count: int) -> str | None:
    names = [f"c{number}" for number in range(count)]
    found = await find_writer(names, hold=disk.hold, free=disk.free, seconds=SECONDS)
    assert not disk.held
    assert disk.most_held <= max(1, count // 2)
    return found


@pytest.mark.parametrize(("count", "writer"), [(1, 0), (2, 0), (2, 1), (7, 3), (100, 99), (100, 42)])
async def test_the_writer_is_found_among_many(count: int, writer: int) -> None:
    assert await _find(Disk(f"c{writer}"), count) == f"c{writer}"


async def test_a_look_that_lasts_longer_than_it_should_counts_for_no_more() -> None:
    """On a busy machine: whoever is held meanwhile is not taken for the writer because less was written then."""
    disk = Disk("c3")
    looks = 0

    async def free() -> int:
        nonlocal looks
        looks += 1
        if looks == 2:  # the first look of all, at the end of which it is told
            await asyncio.sleep(SECONDS * 10)
        return await disk.free()

    found = await find_writer(["c0", "c1", "c2", "c3"], hold=disk.hold, free=free, seconds=SECONDS)
    assert found == "c3"


async def test_one_of_several_is_found() -> None:
    found = await _find(Disk("c1", "c2"), 8)
    assert found in (None, "c1", "c2")  # never one who writes nothing


@pytest.mark.parametrize("count", [0, 1, 9])
async def test_it_is_nobody_of_them(count: int) -> None:
    assert await _find(Disk(others=5000), count) is None
    assert await _find(Disk(), count) is None


async def test_who_is_held_goes_on_also_when_it_is_cut_short() -> None:
    disk = Disk("c1")
    names = ["c0", "c1"]
    hunting = asyncio.create_task(find_writer(names, hold=disk.hold, free=disk.free, seconds=30.0))
    hunting.cancel()
    await asyncio.wait([hunting])
    assert not disk.held


async def test_a_container_that_cannot_be_held_leaves_none_held() -> None:
    disk = Disk("c1")

    async def hold(container: str, held: bool) -> None:
        await disk.hold(container, held)
        if held and container == "c1":
            raise OSError("no freezer")

    names = ["c1", "c2", "c3"]
    with pytest.raises(OSError, match="no freezer"):
        await find_writer(names, hold=hold, free=disk.free, seconds=SECONDS)
    assert not disk.held
