"""What every `Store` must do with recorded frames."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from container.protocol import MAX_FRAME_BYTES, encode, stamp
from tests.gateway.store.store_samples import admit, finish, frames, numbered, read, session

if TYPE_CHECKING:
    from gateway.model import Run
    from gateway.store import Store


async def running(store: Store, name: str = "s1") -> Run:
    await store.create_session(session(name))
    run = await store.mark_running((await admit(store, name, "m1")).run)
    assert run is not None
    return run


class FramesConformance:
    """`append_frames` and `read_frames`."""

    async def test_frames_are_read_back_from_any_cursor(self, store: Store) -> None:
        run = await running(store)
        whole, at = b"", 0
        for size in (1, 7, 50, 2, 40):
            group = frames(run.id, at + 1, at + size, text=f"é{size}\r\u2028")
            appended = await store.append_frames(run, first=at + 1, last=at + size, frames=group)
            assert appended is not None
            run, whole, at = appended, whole + group, at + size
            assert run.recorded == at
        assert (await store.get_run("s1", run.id)).recorded == 100
        lines = whole.splitlines(keepends=True)
        for after in (0, 1, 7, 8, 9, 57, 58, 99):
            assert await read(store, run, after=after) == b"".join(lines[after:])
        assert await read(store, run, after=100) == b""
        assert await read(store, run, after=5000) == b""

    async def test_chunks_are_whole_lines(self, store: Store) -> None:
        run = await running(store)
        group = frames(run.id, 1, 400, text="x" * 5000)
        await store.append_frames(run, first=1, last=400, frames=group)
        chunks = [chunk async for chunk in store.read_frames("s1", run.id, after=123)]
        assert all(chunk.endswith(b"\n") for chunk in chunks)
        assert numbered(b"".join(chunks)) == list(range(124, 401))

    async def test_frames_appended_again_are_kept_once(self, store: Store) -> None:
        run = await running(store)
        first = await store.append_frames(run, first=1, last=10, frames=frames(run.id, 1, 10))
        again = await store.append_frames(run, first=1, last=10, frames=frames(run.id, 1, 10))
        assert again == first
        # A caller who does not know whether 1..10 arrived may send them in a larger group, or in a smaller one.
        larger = await store.append_frames(run, first=5, last=15, frames=frames(run.id, 5, 15))
        assert larger is not None
        assert larger.recorded == 15
        smaller = await store.append_frames(run, first=2, last=3, frames=frames(run.id, 2, 3))
        assert smaller is not None
        assert smaller.recorded == 15
        assert numbered(await read(store, run)) == list(range(1, 16))

    async def test_racing_appends_of_one_lease_are_kept_once(self, store: Store) -> None:
        run = await running(store)
        await asyncio.gather(
            *(store.append_frames(run, first=1, last=n, frames=frames(run.id, 1, n)) for n in range(1, 9))
        )
        assert await read(store, run) == frames(run.id, 1, 8)

    async def test_frames_that_do_not_fit_are_refused(self, store: Store) -> None:
        run = await running(store)
        for first, last, group in (
            (2, 2, frames(run.id, 2, 2)),
            (1, 2, frames(run.id, 1, 1)),
            (1, 1, frames(run.id, 1, 1)[:-1]),
            (1, 0, b""),
        ):
            with pytest.raises(ValueError, match=r"frames|follow"):
                await store.append_frames(run, first=first, last=last, frames=group)
        assert (await store.get_run("s1", run.id)).recorded == 0

    async def test_frames_that_do_not_compress_and_fill_many_items_appear_at_once(self, store: Store) -> None:
        run = await running(store)
        noise = random.Random(5)
        lines = [
            stamp(encode({"t": noise.randbytes(size // 2).hex()}), run.id, seq) + b"\n"
            for seq, size in enumerate([100_000] * 20 + [10, MAX_FRAME_BYTES - 20, 10] + [3000] * 300, 1)
        ]
        seen: set[int] = set()

        async def watch() -> None:
            while len(lines) not in seen:
                seen.add(len(numbered(await read(store, run))))

        async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            appended = await store.append_frames(run, first=1, last=len(lines), frames=b"".join(lines))
        assert appended is not None
        assert seen <= {0, len(lines)}
        assert await read(store, run) == b"".join(lines)
        for after in (19, 20, 21, 22, 23, 200, len(lines) - 1):
            assert await read(store, run, after=after) == b"".join(lines[after:])
        more = await store.append_frames(
            appended,
            first=len(lines) + 1,
            last=len(lines) + 1,
            frames=frames(run.id, len(lines) + 1, len(lines) + 1),
        )
        assert more is not None
        assert numbered(await read(store, run, after=len(lines))) == [len(lines) + 1]

    async def test_a_gateways_own_last_frames_are_told_from_the_others(self, store: Store) -> None:
        run = await running(store)
        run = await store.append_frames(run, first=1, last=3, frames=frames(run.id, 1, 3)) or run
        assert (run.own, run.shared) == (0, 3)
        for _ in range(2):
            ended = await store.append_frames(run, first=4, last=5, frames=frames(run.id, 4, 5), own=True)
            assert ended is not None
            assert (ended.recorded, ended.own, ended.shared) == (5, 2, 3)
        assert (await store.get_run("s1", run.id)).own == 2

    async def test_a_successor_goes_on_where_its_predecessor_was_fenced(self, store: Store) -> None:
        old = await running(store)
        old = await store.append_frames(old, first=1, last=5, frames=frames(old.id, 1, 5)) or old
        new = await store.take_lease(old, gateway="g2", lease_seconds=5, now=old.lease_until + 1)
        assert new is not None
        assert new.recorded == 5
        outcomes = await asyncio.gather(
            store.append_frames(old, first=6, last=30, frames=frames(old.id, 6, 30, text="old")),
            store.append_frames(new, first=6, last=9, frames=frames(old.id, 6, 9, text="new")),
        )
        assert outcomes[0] is None
        assert outcomes[1] is not None
        found = await read(store, new)
        assert numbered(found) == list(range(1, 10))
        assert b"old" not in found

    async def test_runs_of_one_session_keep_their_frames_apart(self, store: Store) -> None:
        first = await running(store)
        await store.append_frames(first, first=1, last=3, frames=frames(first.id, 1, 3))
        await admit(store, "s1", "m2")
        ended = await finish(store, first)
        assert ended is not None
        second = ended[1]
        assert second is not None
        await store.append_frames(second, first=1, last=2, frames=frames(second.id, 1, 2))
        assert await read(store, first) == frames(first.id, 1, 3)
        assert await read(store, second) == frames(second.id, 1, 2)
