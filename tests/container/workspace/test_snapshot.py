"""Snapshots through the agent server: taken while nothing runs, restored once, undone when cut short."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from container.web.app_keys import SNAPSHOTS
from container.workspace import snapshot
from container.workspace.snapshot import SKIP
from tests.container.conftest import DEADLINE, Sandbox, Start, eventually, settings_in, text

DEMO = "demo"
Patch = pytest.MonkeyPatch


async def take(sandbox: Sandbox, **query: str) -> bytes:
    # Who has just read a run's end is a moment later seen to be gone; until then the sandbox is not idle.
    await eventually(lambda: sandbox.ping_connections() == 0)
    async with sandbox.http.get("/snapshot", params=query) as response:
        assert response.status == 200, await response.text()
        return await response.read()


async def restore(sandbox: Sandbox, content: bytes) -> tuple[int, dict[str, object]]:
    async with sandbox.http.put("/snapshot", data=content, expect100=True) as response:
        return response.status, await response.json()


async def close(sandbox: Sandbox) -> None:
    await sandbox.http.close()
    await sandbox.server.close()


def lose(folder: Path) -> None:
    """What a lost host takes along."""
    for name in ("workspace", "home", "pending"):
        shutil.rmtree(folder / name)


async def used_and_lost(start: Start, folder: Path) -> tuple[Sandbox, bytes]:
    """A fresh sandbox after the loss of one with a file and a conversation, and that one's snapshot."""
    sandbox = await start(DEMO)
    await sandbox.ask("r1", "Create a file called a.txt with 'kept' (every 0 ms)")
    content = await take(sandbox)
    await close(sandbox)
    lose(folder)
    return await start(DEMO), content


async def test_files_and_the_agent_s_memory_come_back(start: Start, tmp_path: Path) -> None:
    sandbox, content = await used_and_lost(start, tmp_path)
    assert (await sandbox.ping())["fresh"] is True
    status, answer = await restore(sandbox, content)
    assert status == 200
    assert isinstance(answer["bytes"], int)
    assert (await sandbox.ping())["fresh"] is False
    assert (tmp_path / "workspace" / "a.txt").read_text() == "kept"
    assert "We have talked 1 times before" in text(await sandbox.ask("r2", "hello (every 0 ms)"))
    assert [path.name for path in (tmp_path / "home/.vaporforge/runs").iterdir()] == ["r2.jsonl"]


async def test_the_agent_is_another_process_after_a_restore(start: Start, tmp_path: Path) -> None:
    sandbox, content = await used_and_lost(start, tmp_path)
    await eventually(lambda: sandbox.agent.state == "ready")
    before = sandbox.agent.process
    await restore(sandbox, content)
    await eventually(lambda: sandbox.agent.process is not before and sandbox.agent.state == "ready")
    assert before is not None
    assert not before.is_alive


async def test_fresh_is_empty_and_unused(start: Start, tmp_path: Path) -> None:
    sandbox = await start(DEMO)
    async with sandbox.http.get("/snapshot") as response:
        assert response.status == 204
    await sandbox.ask("r1", "echo x")
    assert (await sandbox.ping())["fresh"] is False
    await close(sandbox)
    again = await start(DEMO)
    assert (await again.ping())["fresh"] is False  # its log is there


async def test_a_file_alone_ends_freshness(start: Start) -> None:
    sandbox = await start(DEMO)
    assert (await sandbox.ping())["fresh"] is True
    async with sandbox.http.put("/files/notes/a.txt", data=b"x") as response:
        assert response.status == 201
    assert (await sandbox.ping())["fresh"] is False


async def test_what_a_snapshot_holds(start: Start, tmp_path: Path) -> None:
    sandbox = await start(DEMO)
    for name in SKIP - {"home/.vaporforge/runs", "home/.vaporforge/restored", "home/.vaporforge/restoring"}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("not for the store")
    await sandbox.ask("r1", "Create a file called a.txt with 'kept' (every 0 ms)")
    with tarfile.open(fileobj=io.BytesIO(await take(sandbox))) as archive:
        names = set(archive.getnames())
    assert "workspace/a.txt" in names
    assert any(name.startswith("home/.vaporforge/demo-sessions/") for name in names)
    assert names & SKIP == set()
    assert not any(name.startswith("home/.vaporforge/runs") for name in names)


async def test_none_is_taken_while_a_run_is_on_or_was_a_moment_ago(start: Start) -> None:
    sandbox = await start(DEMO)
    await sandbox.put("r1", "count to 100000 (every 5 ms)")
    async with sandbox.connect("r1") as ws:
        await ws.receive()
        async with sandbox.http.get("/snapshot") as response:
            assert (response.status, (await response.json())["code"]) == (409, "busy")
        async with sandbox.http.post("/runs/r1/stop") as response:
            assert response.status == 202
        async for _ in ws:
            pass
    async with sandbox.http.get("/snapshot", params={"idle": "3600"}) as response:
        assert (response.status, (await response.json())["code"]) == (409, "busy")
    assert await take(sandbox, idle="0")


async def tagged(sandbox: Sandbox, **query: str) -> tuple[int, str]:
    async with sandbox.http.get("/snapshot", params=query) as response:
        await response.read()
        return response.status, response.headers.get("ETag", "").strip('"')


async def test_what_nobody_has_changed_is_not_sent_again(start: Start, tmp_path: Path) -> None:
    sandbox = await start(DEMO)
    (tmp_path / "workspace" / "a.txt").write_text("one")
    status, tag = await tagged(sandbox)
    assert (status, len(tag)) == (200, 32)
    assert (await tagged(sandbox, unless=tag))[0] == 204
    (tmp_path / "workspace" / "a.txt").write_text("two")
    status, other = await tagged(sandbox, unless=tag)
    assert (status, other != tag) == (200, True)


async def test_a_run_that_changes_nothing_makes_no_other_snapshot(start: Start) -> None:
    sandbox, author = await start(), {"name": "Ada", "email": "ada@example.org"}
    await sandbox.ask("r1", "say('one')", author=author)
    status, tag = await tagged(sandbox)
    assert (status, len(tag)) == (200, 32)
    await sandbox.ask("r2", "say('two')", author=author)
    assert (await tagged(sandbox, unless=tag))[0] == 204


async def test_one_whose_tag_takes_long_is_sent_without(
    start: Start, tmp_path: Path, monkeypatch: Patch
) -> None:
    sandbox = await start(DEMO)
    (tmp_path / "workspace" / "a.txt").write_text("one")
    tag = (await tagged(sandbox))[1]
    monkeypatch.setattr(snapshot, "TAG_SECONDS", -1.0)
    assert await tagged(sandbox, unless=tag) == (200, "")


async def test_between_runs_one_is_taken_whoever_is_connected(start: Start, tmp_path: Path) -> None:
    """A run's end is known to nobody's connection; a session that is idle has nobody."""
    sandbox = await start(DEMO)
    (tmp_path / "workspace" / "a.txt").write_text("one")
    async with sandbox.http.ws_connect("/relay"):
        assert (await tagged(sandbox))[0] == 200
        assert (await tagged(sandbox, idle="1"))[0] == 409


@pytest.mark.parametrize("idle", ["x", "-1", "inf", "nan"])
async def test_a_bad_idle_is_named(start: Start, idle: str) -> None:
    sandbox = await start(DEMO)
    async with sandbox.http.put("/files/a", data=b"x"):
        pass
    async with sandbox.http.get("/snapshot", params={"idle": idle}) as response:
        assert (response.status, (await response.json())["field"]) == (400, "idle")


async def test_a_run_that_begins_meanwhile_breaks_the_snapshot_off(start: Start, tmp_path: Path) -> None:
    sandbox = await start(DEMO)
    with (tmp_path / "workspace" / "big").open("wb") as file:
        for _ in range(40):  # more than the sockets' buffers take
            file.write(os.urandom(1 << 20))
    async with sandbox.http.get("/snapshot") as response:
        assert response.status == 200
        await response.content.read(1)
        await sandbox.put("r1", "echo x")  # served at once: nobody waits for a snapshot
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    assert text((await sandbox.read("r1"))[0]) == "x"
    assert await take(sandbox)


async def test_only_one_is_taken_at_a_time(start: Start, tmp_path: Path) -> None:
    sandbox = await start(DEMO)
    (tmp_path / "workspace" / "big").write_bytes(os.urandom(40 << 20))
    async with sandbox.http.get("/snapshot") as first:
        await first.content.read(1)
        async with sandbox.http.get("/snapshot") as second:
            assert second.status == 409


async def test_it_is_restored_once_and_the_second_waits(start: Start, tmp_path: Path) -> None:
    sandbox, content = await used_and_lost(start, tmp_path)
    begun, release = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield content[:100]
        begun.set()
        await release.wait()
        yield content[100:]

    async def first() -> int:
        async with sandbox.http.put("/snapshot", data=slowly(), expect100=True) as response:
            return response.status

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
        one = group.create_task(first())
        await begun.wait()
        assert (await sandbox.ping())["fresh"] is True
        two = group.create_task(restore(sandbox, content))
        prompt = group.create_task(sandbox.put("r2", "hello (every 0 ms)"))
        async with sandbox.http.get("/snapshot") as response:
            assert response.status == 409
        assert not two.done()
        assert not prompt.done()
        release.set()
    assert one.result() == 200
    assert (two.result()[0], two.result()[1]["code"]) == (409, "conflict")
    assert "We have talked 1 times before" in text((await sandbox.read("r2"))[0])
    assert (await restore(sandbox, content))[0] == 409


async def test_a_sandbox_in_use_takes_none(start: Start, tmp_path: Path) -> None:
    sandbox, content = await used_and_lost(start, tmp_path)
    await sandbox.ask("r2", "echo x")
    assert (await restore(sandbox, content))[0] == 409
    assert not (tmp_path / "workspace" / "a.txt").exists()


@pytest.mark.parametrize("damage", ["cut", "hostile", "nothing"])
async def test_what_cannot_be_restored_leaves_it_fresh(start: Start, tmp_path: Path, damage: str) -> None:
    sandbox, content = await used_and_lost(start, tmp_path)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("workspace/first"))
        archive.addfile(tarfile.TarInfo("workspace/../../out"))
    bad = {"cut": content[:-9], "hostile": buffer.getvalue(), "nothing": b""}[damage]
    status, answer = await restore(sandbox, bad)
    assert (status, answer["code"], answer["field"]) == (400, "bad-request", "body")
    assert list((tmp_path / "workspace").iterdir()) == []
    assert (await sandbox.ping())["fresh"] is True
    assert (await restore(sandbox, content))[0] == 200


async def test_one_that_is_too_large_is_refused(start: Start, tmp_path: Path) -> None:
    first = await start(DEMO)
    (tmp_path / "workspace" / "zeros").write_bytes(bytes(3_000_000))
    content = await take(first)
    await close(first)
    lose(tmp_path)
    sandbox = await start(DEMO, VF_RESTORE_BYTES="1000000")
    status, answer = await restore(sandbox, content)
    assert (status, answer["code"]) == (413, "payload-too-large")
    assert list((tmp_path / "workspace").iterdir()) == []


async def test_a_body_that_breaks_off_leaves_it_fresh(start: Start, tmp_path: Path) -> None:
    sandbox, content = await used_and_lost(start, tmp_path)

    async def broken() -> AsyncIterator[bytes]:
        yield content[:-50]
        await eventually((tmp_path / "home/.vaporforge/restoring").exists)
        raise OSError("the store went away")

    with pytest.raises(aiohttp.ClientError):
        await sandbox.http.put("/snapshot", data=broken(), expect100=True)
    async with asyncio.timeout(DEADLINE):
        await sandbox.app[SNAPSHOTS].settled()
    assert list((tmp_path / "workspace").iterdir()) == []
    assert (await restore(sandbox, content))[0] == 200


async def test_a_body_that_falls_silent_is_given_up(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, content = await used_and_lost(start, tmp_path)
    monkeypatch.setattr(snapshot, "SILENCE_SECONDS", 0.2)
    over = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        yield content[:-50]
        await over.wait()

    async with asyncio.timeout(DEADLINE):
        async with sandbox.http.put("/snapshot", data=silent(), expect100=True) as response:
            assert (response.status, (await response.json())["field"]) == (400, "body")
        over.set()
        await sandbox.app[SNAPSHOTS].settled()
    assert list((tmp_path / "workspace").iterdir()) == []
    assert (await restore(sandbox, content))[0] == 200


async def test_the_first_run_behind_a_restore_tells_of_it(start: Start, tmp_path: Path) -> None:
    sandbox, content = await used_and_lost(start, tmp_path)
    assert (await restore(sandbox, content))[0] == 200
    frames = await sandbox.ask("r2", "echo x")
    assert [(frame["type"], frame["seq"]) for frame in frames[:2]] == [("run", 1), ("config-restored", 2)]
    assert "config-restored" not in {frame["type"] for frame in await sandbox.ask("r3", "echo x")}


async def test_a_server_that_dies_in_a_restore_is_fresh_when_it_is_back(start: Start, tmp_path: Path) -> None:
    sandbox, content = await used_and_lost(start, tmp_path)
    await close(sandbox)
    (tmp_path / "home/.vaporforge/restoring").touch()
    (tmp_path / "workspace/half/way").mkdir(parents=True)
    (tmp_path / "workspace/half").chmod(0o500)
    again = await start(DEMO)
    assert (await again.ping())["fresh"] is True
    assert list((tmp_path / "workspace").iterdir()) == []
    assert (await restore(again, content))[0] == 200
    await close(again)
    assert (await (await start(DEMO)).ping())["fresh"] is False


async def test_only_the_gateway_may_ask(start: Start) -> None:
    sandbox = await start(DEMO)
    bare = {"Authorization": "Bearer another"}
    async with sandbox.http.get("/snapshot", headers=bare) as response:
        assert response.status == 401
    async with sandbox.http.put("/snapshot", headers=bare, data=b"x" * 99, expect100=True) as response:
        assert response.status == 401


def test_a_bad_limit_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="VF_RESTORE_BYTES"):
        settings_in(tmp_path, VF_RESTORE_BYTES="much")
    assert settings_in(tmp_path, VF_RESTORE_BYTES="7").restore_bytes == 7
