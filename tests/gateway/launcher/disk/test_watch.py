"""The watch, its meter and the real process that counts, on real folders: who has too much is ended, at once."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway import errors
from gateway.launcher.disk import hunt, ledger
from gateway.launcher.disk import watch as watch_module
from gateway.launcher.disk.ledger import MIB, Limits, Space
from gateway.launcher.disk.meter import Meter
from gateway.launcher.disk.usage import Usage
from gateway.launcher.disk.watch import DiskWatch, space_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

SECONDS = 30.0


class Engine:
    """Sandboxes that run until they are cut."""

    def __init__(self, *sessions: str) -> None:
        self.containers = {session: f"{session}-1" for session in sessions}
        self.cuts: list[tuple[str, str]] = []
        self.away = False
        self.paused: set[str] = set()

    async def running(self) -> Mapping[str, str]:
        if self.away:
            raise errors.SandboxUnavailable("The Docker engine does not answer.")
        return dict(self.containers)

    async def held(self) -> Sequence[str]:
        return sorted(self.paused)

    async def hold(self, container: str, held: bool) -> None:
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
            errors.DiskQuota, match=r"have 3 MB or more in \d+ files.*/files.*or delete the session"
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


async def test_who_fills_a_low_disk_without_a_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(*(f"s{number}" for number in range(5)))
    free = 9_000.0

    def fake_space(_: str) -> Space:
        nonlocal free
        if "s3-1" in engine.containers.values() and "s3-1" not in engine.paused:
            free -= 20
        return Space(int(free * MIB), 100_000 * MIB, 10, 10)

    monkeypatch.setattr(watch_module, "space_of", fake_space)
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(hunt, "SECONDS", 0.05)
    async with _watching(tmp_path, engine, Limits(0, 0, 0.1)):
        await _until(lambda: bool(engine.cuts))
        assert engine.cuts == [("s3-1", "disk-low")]
        await _until(lambda: not engine.paused)
    assert free > 1_000


async def test_without_a_folder_nobody_is_held_to_anything() -> None:
    watch = DiskWatch(Limits(1, 1, 0.5), "", lambda _session: [], Engine("a"))
    await watch.watch_forever()
    watch.refuse("a")
    assert not watch.told().low


async def test_counts_go_on_side_by_side_and_a_process_that_ended_is_started_anew(tmp_path: Path) -> None:
    small, large = _volume(tmp_path, "small"), _volume(tmp_path, "large")
    for number in range(20_000):
        (large / f"{number}").touch()
    (small / "file").touch()
    meter = Meter()
    slow = asyncio.create_task(meter.measure([str(large)], Usage()))
    await asyncio.sleep(0)
    assert (await meter.measure([str(small)], Usage())).inodes == 1
    assert not slow.done()
    assert (await slow).inodes == 20_000
    assert meter._process is not None
    meter._process.kill()
    await meter._process.wait()
    await _until(lambda: meter._reader is not None and meter._reader.done())
    assert (await meter.measure([str(small)], Usage())).inodes == 1
    await meter.close()
    await meter.close()


async def test_a_count_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    meter = Meter([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.5)
    with pytest.raises(TimeoutError):
        await meter.measure([str(tmp_path)], Usage())
    await meter.close()


async def test_counts_are_told_when_the_process_dies(tmp_path: Path) -> None:
    meter = Meter([sys.executable, "-c", ""])
    with pytest.raises(OSError, match="has ended"):
        await meter.measure([str(tmp_path)], Usage())
    await meter.close()
