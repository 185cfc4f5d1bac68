"""Snapshots through whole gateways: a session goes on when its sandbox and volumes are gone, and leaves nothing."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from gateway import errors
from gateway.ids import new_id
from gateway.runs.recording import recorder
from gateway.runs.recording.watchdog import Watchdog
from gateway.sandboxes.drivers import SandboxState
from gateway.sandboxes.drivers.process import ProcessDriver
from gateway.store.blobs.folder import FolderBlobs
from gateway.web.request.app_keys import DRIVER
from tests.gateway.stack import Stack, assert_whole, text_of
from tests.gateway.store.blobs.blobs_conformance import chunks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WRITE = "Create a file called a.txt with 'kept' (every 0 ms)"


@pytest.fixture
async def snapped(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A gateway whose snapshots are in a folder."""
    root = tmp_path / "sandboxes"
    table = f"test-{new_id()}"
    async with Stack(
        dynamodb_endpoint,
        table,
        root,
        blobs=f"folder:{tmp_path / 'blobs'}",
        snapshot_tries=3,
    ) as stack:
        yield stack


def kept(stack: Stack) -> list[str]:
    """What the place for blobs holds."""
    root = stack.settings.blobs.removeprefix("folder:")
    return sorted(name for _, _, names in os.walk(root) for name in names)


def blobs_of(stack: Stack) -> FolderBlobs:
    return FolderBlobs(stack.settings.blobs.removeprefix("folder:"), stack.settings.stack)


async def state(stack: Stack, session: str) -> SandboxState:
    return (await stack.gateways[0].runs.driver.status(session)).state


async def reap(stack: Stack, session: str, gateway: int = 0) -> None:
    """Reap every sandbox, the session's once nobody is connected to it any more: it is idle then."""
    await stack.quiet(session)
    await stack.gateways[gateway].reaper().reap()


async def lose_host(stack: Stack, session: str) -> None:
    """The sandbox and its volumes go, the snapshot stays."""
    driver = ProcessDriver(stack.settings, stack.root)
    await driver.delete(session)
    await driver.close()


async def test_a_session_goes_on_on_another_host(snapped: Stack) -> None:
    session = await snapped.session()
    assert_whole(await snapped.ask(session, WRITE))
    await reap(snapped, session)
    assert await state(snapped, session) is SandboxState.STOPPED
    assert kept(snapped) == [session]
    await lose_host(snapped, session)
    assert "kept" in text_of(await snapped.ask(session, "read the file a.txt (every 0 ms)"))
    hello = await snapped.ask(session, "hello (every 0 ms)")
    assert_whole(hello)
    assert "We have talked 2 times before" in text_of(hello)


async def test_volumes_that_are_there_win_over_the_snapshot(snapped: Stack) -> None:
    session = await snapped.session()
    await snapped.ask(session, WRITE)
    await reap(snapped, session)
    await snapped.ask(session, "Create a file called a.txt with 'newer' (every 0 ms)")
    await snapped.gateways[0].runs.driver.stop(session)
    assert "newer" in text_of(await snapped.ask(session, "read the file a.txt (every 0 ms)"))


async def test_the_newest_snapshot_counts_also_of_a_restored_sandbox(snapped: Stack) -> None:
    session = await snapped.session()
    for number in range(1, 4):
        await snapped.ask(session, f"Create a file called {number}.txt with '{number}' (every 0 ms)")
        await reap(snapped, session)
        assert kept(snapped) == [session]
        await lose_host(snapped, session)
    listing = text_of(await snapped.ask(session, "list my files (every 0 ms)"))
    assert [name in listing for name in ("1.txt", "2.txt", "3.txt")] == [True] * 3


async def test_two_gateways_wake_one_session(snapped: Stack) -> None:
    await snapped.add()
    session = await snapped.session()
    await snapped.ask(session, WRITE)
    await reap(snapped, session, gateway=1)
    await lose_host(snapped, session)
    drivers = [gateway.runs.driver for gateway in snapped.gateways]
    found = await asyncio.gather(*(driver.ensure(session) for driver in drivers * 4))
    assert len(set(found)) == 1
    assert "kept" in text_of(await snapped.ask(session, "read the file a.txt", gateway=1))


async def test_a_new_session_is_asked_about_once(snapped: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = FolderBlobs.open

    def counting(self: FolderBlobs, name: str) -> object:
        opened.append(name)
        return real(self, name)

    monkeypatch.setattr(FolderBlobs, "open", counting)
    session = await snapped.session()
    driver = snapped.gateways[0].runs.driver
    await asyncio.gather(driver.ensure(session), driver.ensure(session))
    await driver.ensure(session)
    assert opened == [session]
    await snapped.ask(session, "echo x")
    await driver.ensure(session)
    assert opened == [session]


async def test_an_unused_sandbox_leaves_no_snapshot_and_replaces_none(snapped: Stack) -> None:
    session = await snapped.session()
    runs = snapped.gateways[0].runs
    await runs.driver.ensure(session)
    await snapped.gateways[0].reaper().reap()
    assert (await state(snapped, session), kept(snapped)) == (SandboxState.STOPPED, [])


async def test_a_prompt_that_comes_while_a_snapshot_is_taken_is_answered_at_once(
    snapped: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await snapped.session()
    await snapped.ask(session, WRITE)
    with (snapped.root / session / "workspace" / "big").open("wb") as file:
        for _ in range(60):
            file.write(os.urandom(1 << 20))
    taking, answered = asyncio.Event(), asyncio.Event()
    real = FolderBlobs.put

    async def slow_put(self: FolderBlobs, name: str, content: AsyncIterator[bytes]) -> int:
        async def slowly() -> AsyncIterator[bytes]:
            async for chunk in content:
                yield chunk
                taking.set()
                await answered.wait()

        return await real(self, name, slowly())

    monkeypatch.setattr(FolderBlobs, "put", slow_put)
    reaping = asyncio.create_task(reap(snapped, session))
    await taking.wait()
    assert_whole(await snapped.ask(session, "Create a file called b.txt with 'also' (every 0 ms)"))
    answered.set()
    await reaping
    assert await state(snapped, session) is SandboxState.RUNNING
    assert kept(snapped) == []
    await reap(snapped, session)
    assert await state(snapped, session) is SandboxState.STOPPED
    await lose_host(snapped, session)
    assert "also" in text_of(await snapped.ask(session, "read the file b.txt (every 0 ms)"))


async def test_prompts_that_race_the_reaper_lose_nothing(snapped: Stack) -> None:
    session = await snapped.session()
    for number in range(1, 7):

        async def prompt(name: int = number) -> None:
            await asyncio.sleep(0.02 * (name % 3))
            frames = await snapped.ask(session, f"Create a file called {name}.txt with 'x' (every 0 ms)")
            assert_whole(frames)

        await asyncio.gather(
            prompt(), snapped.gateways[0].reaper().reap(), snapped.gateways[0].reaper().reap()
        )
    await reap(snapped, session)
    assert await state(snapped, session) is SandboxState.STOPPED
    await lose_host(snapped, session)
    listing = text_of(await snapped.ask(session, "list my files (every 0 ms)"))
    assert [f"{number}.txt" in listing for number in range(1, 7)] == [True] * 6


async def test_deleting_a_session_deletes_its_snapshot(snapped: Stack) -> None:
    session = await snapped.session()
    await snapped.ask(session, WRITE)
    await reap(snapped, session)
    assert kept(snapped) == [session]
    url = f"{snapped.url}/api/sessions/{session}"
    async with snapped.http.delete(url, headers=snapped.headers()) as response:
        assert response.status == 204
    assert kept(snapped) == []
    assert not (snapped.root / session).exists()


async def test_what_a_crash_left_of_a_deleted_session_goes(snapped: Stack) -> None:
    alive = await snapped.session()
    blobs = blobs_of(snapped)
    gone = [new_id() for _ in range(50)]
    another_stores = "0" * 26  # older than this store: not ours to delete
    for session in (alive, another_stores, *gone):
        await blobs.put(session, chunks(b"x"))
    for _ in range(3):  # some of them in each round
        await snapped.gateways[0].reaper().reap()
    assert sorted(kept(snapped)) == sorted([alive, another_stores])


async def test_a_session_deleted_while_its_snapshot_is_taken_leaves_none(
    snapped: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await snapped.session()
    await snapped.ask(session, WRITE)
    real = FolderBlobs.put

    async def late_put(self: FolderBlobs, name: str, content: AsyncIterator[bytes]) -> int:
        held = [chunk async for chunk in content]
        url = f"{snapped.url}/api/sessions/{session}"
        async with snapped.http.delete(url, headers=snapped.headers()) as response:
            assert response.status == 204
        return await real(self, name, chunks(b"".join(held)))

    monkeypatch.setattr(FolderBlobs, "put", late_put)
    await reap(snapped, session)
    assert kept(snapped) == []


async def test_a_sandbox_without_a_snapshot_is_kept_for_some_tries(snapped: Stack) -> None:
    session = await snapped.session()
    await snapped.ask(session, WRITE)
    in_the_way = snapped.root.parent / "blobs"
    in_the_way.write_text("a file where the folder should be")
    states = []
    for _ in range(snapped.settings.snapshot_tries):
        with pytest.raises(errors.Unavailable):
            await reap(snapped, session)
        states.append(await state(snapped, session))
    assert states == [SandboxState.RUNNING, SandboxState.RUNNING, SandboxState.STOPPED]


async def test_one_that_is_too_large_is_not_kept(dynamodb_endpoint: str, tmp_path: Path) -> None:
    async with Stack(
        dynamodb_endpoint,
        f"test-{new_id()}",
        tmp_path / "sandboxes",
        blobs=f"folder:{tmp_path / 'blobs'}",
        snapshot_mb=1,
        snapshot_tries=1,
    ) as stack:
        session = await stack.session()
        await stack.ask(session, WRITE)
        (stack.root / session / "workspace" / "big").write_bytes(os.urandom(3 << 20))
        await reap(stack, session)
        assert (await state(stack, session), kept(stack)) == (SandboxState.STOPPED, [])


def hostile_archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("workspace/../../../escaped"))
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"no archive", hostile_archive()], ids=["damaged", "hostile"])
async def test_no_run_starts_on_an_empty_workspace_in_place_of_a_bad_snapshot(
    snapped: Stack, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "Watchdog", lambda _: Watchdog(1.0))
    session = await snapped.session()
    await blobs_of(snapped).put(session, chunks(content))
    with pytest.raises(errors.SandboxUnavailable, match="cannot be restored from its snapshot"):
        await snapped.gateways[0].runs.driver.ensure(session)
    frames = await snapped.ask(session, "hello")
    assert_whole(frames, "failed")
    assert any("cannot be restored" in frame.get("error", "") for frame in frames)
    await reap(snapped, session)
    assert (snapped.root.parent / "blobs" / "test" / session).read_bytes() == content
    assert not list(snapped.root.parent.rglob("escaped"))


async def test_a_place_that_is_away_delays_a_wake_and_no_more(
    snapped: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await snapped.session()
    await snapped.ask(session, WRITE)
    await reap(snapped, session)
    await lose_host(snapped, session)
    place = snapped.root.parent / "blobs" / "test"
    place.rename(place.with_name("away"))
    place.symlink_to(__file__)  # a file where the folder should be
    back = place.with_name("back")
    back.symlink_to("away")
    asking = asyncio.create_task(snapped.ask(session, "read the file a.txt (every 0 ms)"))
    driver = snapped.gateways[0].app[DRIVER]
    with pytest.raises(errors.SandboxUnavailable):
        await driver.ensure(session)
    back.replace(place)  # in one step: at a moment without either there would be no snapshot
    frames = await asking
    assert_whole(frames)
    assert "kept" in text_of(frames)
