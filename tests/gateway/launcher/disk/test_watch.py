"""The watch, its meter and the real process that counts, on real folders: who has too much is ended, at once."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway import errors
from gateway.launcher.disk import hunt, ledger, meter, unseen
from gateway.launcher.disk import watch as watch_module
from gateway.launcher.disk.ledger import MIB, Limits, Space
from gateway.launcher.disk.meter import Meter
from gateway.launcher.disk.usage import Usage
from gateway.launcher.disk.watch import DiskWatch, space_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

SECONDS = 30.0


@pytest.fixture(autouse=True)
def counting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the lowest priority a process gets next to nothing while others test beside it."""
    monkeypatch.setattr(meter, "COMMAND", (*meter.COMMAND[:-1], "0"))


class Engine:
    """Sandboxes that run until they are cut."""

    def __init__(self, *sessions: str) -> None:
        self.containers = {session: f"{session}-1" for session in sessions}
        self.cuts: list[tuple[str, str]] = []
        self.away = False
        self.hangs = False
        self.paused: set[str] = set()

    async def running(self) -> Mapping[str, str]:
        if self.away:
            raise errors.SandboxUnavailable("The Docker engine does not answer.")
        if self.hangs:
            await asyncio.sleep(SECONDS * 2)
        return dict(self.containers)

    async def held(self) -> Sequence[str]:
        if self.away:
            raise errors.SandboxUnavailable("The Docker engine does not answer.")
        return sorted(self.paused)

    async def hold(self, container: str, held: bool) -> None:
        if self.away:
            raise errors.SandboxUnavailable("The Docker engine does not answer.")
        (self.paused.add if held else self.paused.discard)(container)

    async def cut(self, container: str, reason: str) -> None:
        self.cuts.append((container, reason))
        self.containers = {key: value for key, value in self.containers.items() if value != container}


def _volume(root: Path, session: str) -> Path:
    folder = root / f"{session}-workspace" / "_data"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(folder: Path, megabytes: int, name: str = "file") -> None:
    (folder / name).write_bytes(os.urandom(MIB) * megabytes)


@asynccontextmanager
async def _watching(root: Path, engine: Engine, limits: Limits) -> AsyncIterator[DiskWatch]:
    watch = DiskWatch(limits, str(root), lambda session: [f"{session}-workspace", f"{session}-home"], engine)
    task = asyncio.create_task(watch.watch_forever())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


async def test_who_writes_too_much_is_ended_and_nobody_else(tmp_path: Path) -> None:
    engine = Engine("filler", "neighbour")
    for session in ("filler", "neighbour"):
        _write(_volume(tmp_path, session), 1)
    async with _watching(tmp_path, engine, Limits(20 * MIB, 0, 0.0)) as watch:
        await _until(lambda: watch.ledger.usage("filler") is not None)
        assert engine.cuts == []
        _write(_volume(tmp_path, "filler"), 24)
        await _until(lambda: bool(engine.cuts))
        assert engine.cuts == [("filler-1", "disk-quota")]
        await _until(lambda: watch.ledger.usage("filler") is not None)
        watch.refuse("filler")  # it may start again, and be cleaned up
        assert watch.told().over == 1


async def test_too_many_files_are_too_much(tmp_path: Path) -> None:
    engine = Engine("filler")
    folder = _volume(tmp_path, "filler")
    async with _watching(tmp_path, engine, Limits(0, 300, 0.0)) as watch:
        await _until(lambda: watch.ledger.usage("filler") is not None)
        for number in range(400):
            (folder / f"{number}").touch()
        await _until(lambda: bool(engine.cuts))
    assert engine.cuts == [("filler-1", "disk-quota")]


async def test_a_disk_below_its_reserve_takes_nothing_new(tmp_path: Path) -> None:
    space = space_of(str(tmp_path))
    more_than_free = space.free / space.all + 0.01
    async with _watching(tmp_path, Engine(), Limits(0, 0, more_than_free)) as watch:
        await _until(lambda: watch.ledger.space is not None)
        with pytest.raises(errors.DiskLow, match="nearly full"):
            watch.refuse("a")
        told = watch.told()
        assert told.low
        assert told.free_bytes < told.reserve_bytes


async def test_far_beyond_the_quota_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MARGIN", Usage(MIB, 10))
    engine = Engine("filler")
    _write(_volume(tmp_path, "filler"), 3)
    async with _watching(tmp_path, engine, Limits(MIB, 0, 0.0)) as watch:
        await _until(lambda: bool(engine.cuts) and watch.ledger.usage("filler") is not None)
        with pytest.raises(
            errors.DiskQuota,
            match=r"have 3 MB or more in \d+ files.*: empty its workspace, or delete the session",
        ):
            watch.refuse("filler")
        watch.deleted("filler")
        watch.refuse("filler")


async def test_an_engine_that_is_away_ends_no_watch(tmp_path: Path) -> None:
    engine = Engine("filler")
    engine.away = True
    folder = _volume(tmp_path, "filler")
    async with _watching(tmp_path, engine, Limits(MIB, 0, 0.0)) as watch:
        await _until(lambda: watch.ledger.space is not None)
        engine.away = False
        await _until(lambda: watch.ledger.usage("filler") is not None)
        _write(folder, 3)
        await _until(lambda: bool(engine.cuts))


async def test_who_was_left_paused_goes_on(tmp_path: Path) -> None:
    engine = Engine("a")
    engine.paused.add("a-1")
    async with _watching(tmp_path, engine, Limits(MIB, 0, 0.0)):
        await _until(lambda: not engine.paused)


async def test_who_was_left_paused_goes_on_also_when_the_engine_is_away_at_first(tmp_path: Path) -> None:
    engine = Engine("a")
    engine.paused.add("a-1")
    engine.away = True
    async with _watching(tmp_path, engine, Limits(MIB, 0, 0.0)) as watch:
        await _until(lambda: watch.ledger.space is not None)
        await asyncio.sleep(watch_module.LOOK_SECONDS * 2)
        engine.away = False
        await _until(lambda: not engine.paused)


async def test_an_engine_that_takes_its_time_keeps_nobody_from_being_measured(tmp_path: Path) -> None:
    engine = Engine("filler")
    folder = _volume(tmp_path, "filler")
    async with _watching(tmp_path, engine, Limits(MIB, 0, 0.0)) as watch:
        await _until(lambda: watch.ledger.usage("filler") is not None)
        engine.hangs = True
        watch.started()  # the engine is asked again
        await asyncio.sleep(watch_module.LOOK_SECONDS * 2)
        _write(folder, 3)
        await _until(lambda: bool(engine.cuts))


async def test_a_count_that_fails_is_not_made_again_at_once(tmp_path: Path) -> None:
    class Slow(Meter):
        asked = 0

        async def measure(self, folders: Sequence[str], most: Usage) -> Usage:
            self.asked += 1
            await asyncio.sleep(0.5)
            raise TimeoutError

    slow = Slow()
    watch = DiskWatch(Limits(MIB, 0, 0.0), str(tmp_path), lambda _session: [], Engine("a"), slow)
    task = asyncio.create_task(watch.watch_forever())
    await _until(lambda: slow.asked == 1)
    await asyncio.sleep(1.2)
    assert slow.asked == 1
    await _until(lambda: slow.asked == 2)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("inodes", [False, True])
async def test_the_last_of_the_reserve_is_kept_also_from_whom_no_hunt_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inodes: bool
) -> None:
    """Who sees by the clock that it was paused, and keeps still for a while, is not found."""
    engine = Engine("sly", "neighbour")
    left = 9_000.0

    def fake_space(_: str) -> Space:
        nonlocal left
        left -= 100 if engine.containers else 0
        some, all_ = int(left * MIB), 100_000 * MIB
        return Space(all_, all_, some, all_) if inodes else Space(some, all_, 10, 10)

    async def nobody(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr(watch_module, "space_of", fake_space)
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(unseen, "find_writer", nobody)
    async with _watching(tmp_path, engine, Limits(0, 0, 0.1)):
        await _until(lambda: not engine.containers)
    assert set(engine.cuts) == {("neighbour-1", "disk-low"), ("sly-1", "disk-low")}
    assert 1_000 < left < 2_500


async def test_who_fills_a_low_disk_without_a_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Filled(Engine):
        """s3 writes 2,000 MB a second while it runs and is not held still."""

        free = 9_000.0
        at = time.monotonic()

        def settle(self) -> None:
            now = time.monotonic()
            if "s3-1" in self.containers.values() and "s3-1" not in self.paused:
                self.free -= 2_000 * (now - self.at)
            self.at = now

        async def hold(self, container: str, held: bool) -> None:
            self.settle()
            await super().hold(container, held)

    engine = Filled(*(f"s{number}" for number in range(5)))

    def fake_space(_: str) -> Space:
        engine.settle()
        return Space(int(engine.free * MIB), 100_000 * MIB, 10, 10)

    monkeypatch.setattr(watch_module, "space_of", fake_space)
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(hunt, "SECONDS", 0.05)
    monkeypatch.setattr(unseen, "LAST_SHARE", -1e9)  # however slow this machine is
    async with _watching(tmp_path, engine, Limits(0, 0, 0.1)):
        await _until(lambda: bool(engine.cuts))
        assert engine.cuts == [("s3-1", "disk-low")]
        await _until(lambda: not engine.paused)


async def test_without_a_folder_nobody_is_held_to_anything() -> None:
    watch = DiskWatch(Limits(1, 1, 0.5), "", lambda _session: [], Engine("a"))
    await watch.watch_forever()
    watch.refuse("a")
    assert not watch.told().low


async def test_counts_go_on_side_by_side_and_a_process_that_ended_is_started_anew(tmp_path: Path) -> None:
    small, large = _volume(tmp_path, "small"), _volume(tmp_path, "large")
    for number in range(5_000):
        (large / f"{number}").touch()
    (small / "file").touch()
    counts = Meter()
    slow = asyncio.create_task(counts.measure([str(large)], Usage()))
    await asyncio.sleep(0)
    assert (await counts.measure([str(small)], Usage())).inodes == 1
    assert not slow.done()
    assert (await slow).inodes == 5_000
    assert counts._process is not None
    counts._process.kill()
    await counts._process.wait()
    await _until(lambda: counts._reader is not None and counts._reader.done())
    assert (await counts.measure([str(small)], Usage())).inodes == 1
    await counts.close()
    await counts.close()


async def test_a_count_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    counts = Meter([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.5)
    with pytest.raises(TimeoutError):
        await counts.measure([str(tmp_path)], Usage())
    await counts.close()


async def test_counts_are_told_when_the_process_dies(tmp_path: Path) -> None:
    counts = Meter([sys.executable, "-c", ""])
    with pytest.raises(OSError, match="has ended"):
        await counts.measure([str(tmp_path)], Usage())
    await counts.close()
