"""A real engine and a real, small file system: fillers are ended, the disk keeps its reserve, neighbours go on."""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway import errors
from gateway.launcher import spec
from gateway.launcher.disk import meter
from gateway.launcher.disk.ledger import MIB
from gateway.launcher.disk.watch import space_of
from tests.gateway.sandboxes.drivers.docker_bench import DockerBench, agent_image
from tests.gateway.sandboxes.drivers.driver_conformance import session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.sandboxes.drivers.docker import DockerDriver

__all__ = ["agent_image", "session"]

pytestmark = [
    pytest.mark.docker,
    pytest.mark.e2e,
    pytest.mark.timeout(600),
]

DISK_MB = 1536
SECONDS = 60.0

FILL = "import time\nf = open('{path}', 'wb', 0)\nwhile True: f.write(bytes(1 << 20)); time.sleep({pause})"
"""A megabyte after the other, until somebody ends it."""

MANY = "import os, itertools\nfor n in itertools.count(): os.close(os.open('{path}/%d' % n, os.O_CREAT))"


SUDO = () if os.geteuid() == 0 else ("sudo", "-n")
"""A file system is mounted for these tests, and folders are counted that are closed to others."""


def as_root(*argv: object) -> str:
    done = subprocess.run([*SUDO, *map(str, argv)], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An ext4 of its own, in a file."""
    monkeypatch.setattr(meter, "COMMAND", (*SUDO, *meter.COMMAND))
    image, folder = tmp_path / "disk", tmp_path / "volumes"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(DISK_MB * MIB)
    as_root("mkfs.ext4", "-q", "-m", "0", image)
    as_root("mount", "-o", "loop", image, folder)
    try:
        yield folder
    finally:
        as_root("umount", "--lazy", folder)  # whatever is still on it when a test fails


class Bench:
    """A launcher that looks at the small disk, and sessions whose volumes are there."""

    def __init__(self, bench: DockerBench, driver: DockerDriver, disk: Path) -> None:
        self.bench = bench
        self.driver = driver
        self.disk = disk

    async def session(self, name: str) -> Path:
        """The workspace of a session of this name, as this machine sees it."""
        settings = self.bench.launcher_settings
        for volume in spec.volume_names(settings, name):
            folder = self.disk / volume / "_data"
            owner = spec.SERVER_UID if volume.endswith("-state") else spec.AGENT_UID
            as_root("install", "-d", "-o", owner, "-g", owner, folder)
            await self.bench.engine(
                self.bench.api.create_volume,
                volume,
                driver_opts={"type": "none", "o": "bind", "device": str(folder)},
                labels=spec.labels(settings, name),
            )
        await self.driver.ensure(name)
        return self.disk / next(iter(spec.volume_names(settings, name))) / "_data"

    async def python(self, name: str, program: str) -> None:
        """Start a program in a session's sandbox, and leave it."""

        def start() -> None:
            api = self.bench.api
            command, user = ["python3", "-c", program], str(spec.AGENT_UID)
            execution = api.exec_create(self.bench.name(name), command, user=user)["Id"]
            api.exec_start(execution, detach=True)

        await asyncio.to_thread(start)

    async def ended(self, name: str) -> str:
        """Why the session's sandbox has ended, once it has."""
        async with asyncio.timeout(SECONDS):
            while not (reason := (await self.driver.status(name)).lost_reason):
                await asyncio.sleep(0.1)
        return reason

    async def container(self, name: str) -> str:
        found = await self.bench.inspect(name)
        assert found["State"]["Running"]
        return str(found["Id"])


@asynccontextmanager
async def watched(image: str, disk: Path, **limits: float) -> AsyncIterator[Bench]:
    async with DockerBench(image) as bench:
        url = await bench.launcher(disk_folder=str(disk), **limits)
        yield Bench(bench, bench.driver_at(url), disk)


async def test_a_filler_is_ended_and_may_clean_up(agent_image: str, small_disk: Path) -> None:
    async with watched(
        agent_image, small_disk, disk_mb=200, disk_inodes=0, disk_reserve_percent=0.0
    ) as bench:
        folder = await bench.session("filler")
        await bench.session("neighbour")
        beside = await bench.container("neighbour")
        await bench.python("filler", "open('/workspace/sparse', 'wb').truncate(4 << 40)")
        await bench.python("filler", FILL.format(path="/workspace/big", pause=0.005))
        assert await bench.ended("filler") == "disk-quota"
        written = (folder / "big").stat().st_size // MIB
        assert 190 < written < 1000
        assert (folder / "sparse").stat().st_size == 4 << 40  # holes count for nothing
        await bench.driver.ensure("filler")
        assert (await bench.bench.inspect("filler"))["Config"]["Env"].count("VF_LOST_REASON=disk-quota") == 1
        assert (await bench.bench.run("filler", "rm", "/workspace/big"))[0] == 0
        await bench.python("filler", "open('/workspace/small', 'wb').write(bytes(100 << 20))")
        await asyncio.sleep(3)
        await bench.container("filler")
        assert await bench.container("neighbour") == beside


async def test_what_is_over_its_quota_grows_no_further(agent_image: str, small_disk: Path) -> None:
    async with watched(
        agent_image, small_disk, disk_mb=100, disk_inodes=0, disk_reserve_percent=0.0
    ) as bench:
        folder = await bench.session("filler")
        for round_ in range(2):
            await bench.python("filler", FILL.format(path=f"/workspace/big{round_}", pause=0.01))
            assert await bench.ended("filler") == "disk-quota"
            await bench.driver.ensure("filler")
        both = sum(file.stat().st_blocks * 512 for file in folder.glob("big*")) // MIB
        assert both < 700


async def test_files_without_number_are_ended(agent_image: str, small_disk: Path) -> None:
    async with watched(
        agent_image, small_disk, disk_mb=0, disk_inodes=2000, disk_reserve_percent=0.0
    ) as bench:
        folder = await bench.session("filler")
        closed = "import os; os.mkdir('/workspace/d'); os.chmod('/workspace/d', 0o700)\n"
        await bench.python("filler", closed + MANY.format(path="/workspace/d"))
        assert await bench.ended("filler") == "disk-quota"
        made = len(as_root("find", folder / "d").splitlines())
        assert 1900 < made < space_of(str(small_disk)).all_inodes


async def test_the_disk_keeps_its_reserve_and_recovers_by_itself(agent_image: str, small_disk: Path) -> None:
    async with watched(
        agent_image, small_disk, disk_mb=20_000, disk_inodes=0, disk_reserve_percent=20.0
    ) as bench:
        folder = await bench.session("filler")
        await bench.session("neighbour")
        beside = await bench.container("neighbour")
        await bench.python("filler", FILL.format(path="/workspace/big", pause=0.004))
        assert await bench.ended("filler") == "disk-low"
        space = space_of(str(small_disk))
        assert space.free > 0.1 * space.all
        assert (await bench.driver.disk()).low
        with pytest.raises(errors.DiskLow, match="nearly full"):
            await bench.driver.ensure("filler")
        assert await bench.container("neighbour") == beside
        await bench.driver.ensure("neighbour")  # what runs is no new work
        as_root("rm", folder / "big")  # by whoever runs the machine
        async with asyncio.timeout(SECONDS):
            while (await bench.driver.disk()).low:
                await asyncio.sleep(0.1)
        await bench.driver.ensure("filler")
        assert await bench.container("neighbour") == beside


async def test_who_fills_a_low_disk_without_a_name_is_found(agent_image: str, small_disk: Path) -> None:
    async with watched(agent_image, small_disk, disk_mb=0, disk_inodes=0, disk_reserve_percent=40.0) as bench:
        names = ("first", "filler", "last")
        for name in names:
            await bench.session(name)
        beside = [await bench.container(name) for name in ("first", "last")]
        hidden = "import os, time\nf = open('/workspace/h', 'wb', 0)\nos.unlink('/workspace/h')\n"
        fast = "for _ in range(880): f.write(bytes(1 << 20))\n"
        slow = "while True: f.write(bytes(1 << 20)); time.sleep(0.05)"  # the rest lasts half a minute
        await bench.python("filler", hidden + fast + slow)
        assert await bench.ended("filler") == "disk-low"
        assert [await bench.container(name) for name in ("first", "last")] == beside
        async with asyncio.timeout(SECONDS):
            while (await bench.driver.disk()).low:  # what had no name is gone with who had it open
                await asyncio.sleep(0.1)
        await bench.driver.ensure("filler")


async def test_the_log_of_a_sandbox_is_bounded(agent_image: str, small_disk: Path) -> None:
    async with watched(
        agent_image, small_disk, disk_mb=200, disk_inodes=0, disk_reserve_percent=0.0
    ) as bench:
        await bench.session("flood")
        flood = "f = open('/proc/1/fd/1', 'wb', 0)\nfor _ in range(80_000): f.write(b'x' * 1023 + b'\\n')"
        code, said = await bench.bench.run("flood", "python3", "-c", flood, user="0")
        assert code == 0, said
        log = (await bench.bench.inspect("flood"))["LogPath"]
        files = as_root("find", Path(log).parent, "-name", "*-json.log*", "-printf", "%s\\n")
        kept = sum(map(int, files.split()))
        assert 5 * MIB < kept < 22 * MIB
