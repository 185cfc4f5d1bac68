"""Queries that wait: for a run, at the seed's path, and not for ever."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from container.errors import BadRequest, InsufficientStorage, NoPendingQuery, PayloadTooLarge
from container.runs import pending
from container.runs.pending import Pending
from container.runs.query import MAX_QUERY_BYTES, PendingStore
from tests.container.conftest import Start, eventually
from tests.container.runs.test_framelog import no_file_grows_past


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    return tmp_path / "seed.json"


@pytest.fixture
def waiting(tmp_path: Path, seed: Path, monkeypatch: pytest.MonkeyPatch) -> Pending:
    """Nothing waits, and nobody waits for longer than a moment."""
    monkeypatch.setattr(pending, "PENDING_SECONDS", 0.1)
    return Pending(PendingStore(tmp_path / "pending", seed))


def write(path: Path, data: bytes, mode: int = 0o600) -> None:
    path.write_bytes(data)
    path.chmod(mode)


async def test_a_query_is_put_and_taken_and_its_age_is_known(waiting: Pending) -> None:
    await waiting.put("r", {"prompt": "hi"})
    await waiting.arrival("r", lambda: False)
    query, waited = waiting.take("r")
    assert query == {"run": "r", "prompt": "hi"}
    assert 0 < waited < 10
    assert waiting.take("r") == (None, 0.0)
    await waiting.arrival("r", lambda: True)
    with pytest.raises(NoPendingQuery):
        await waiting.arrival("r", lambda: False)


async def test_a_full_tmpfs_is_told_as_one(waiting: Pending) -> None:
    with no_file_grows_past(0), pytest.raises(InsufficientStorage):
        await waiting.put("r", {"prompt": "hi"})
    assert waiting.is_empty()


async def test_one_that_nobody_asks_for_is_dropped(waiting: Pending, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in ("old", "queued"):
        await waiting.put(run, {"prompt": "hi"})
    waiting.drop_old(())
    assert waiting.has("old")
    monkeypatch.setattr(pending, "KEEP_SECONDS", 0.0)
    waiting.drop_old({"queued"})
    assert not waiting.has("old")
    assert waiting.has("queued")


async def test_a_sandbox_is_not_kept_busy_by_one(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = await start()
    await sandbox.put("r", "say('never')")
    assert sandbox.runs.has_work()
    monkeypatch.setattr(pending, "KEEP_SECONDS", 0.0)
    await eventually(lambda: not sandbox.runs.has_work())


def test_what_an_earlier_server_had_is_dropped(tmp_path: Path, waiting: Pending, seed: Path) -> None:
    PendingStore(tmp_path / "pending", seed).put("r", {"prompt": "hi"})
    (tmp_path / "pending" / "half.new").touch()
    assert Pending(PendingStore(tmp_path / "pending", seed)).is_empty()
    assert list((tmp_path / "pending").iterdir()) == []


async def test_the_seeds_file_is_waited_for_until_it_is_an_object(waiting: Pending, seed: Path) -> None:
    with pytest.raises(NoPendingQuery):
        await waiting.seed()
    half = json.dumps({"prompt": "a }"})[:-2].encode()  # ends as an object does, and is none
    assert half.endswith(b"}")
    write(seed, half)
    with pytest.raises(BadRequest, match=re.escape(f"{seed} must be a JSON object")):
        await waiting.seed()
    assert seed.read_bytes() == half
    write(seed, half + b'"}')
    assert await waiting.seed() == half + b'"}'
    assert not seed.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
async def test_a_seeds_file_that_others_may_read_or_write_is_refused_and_left(
    waiting: Pending, seed: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    write(seed, b'{"prompt":"hi"}', mode)
    with pytest.raises(BadRequest, match="mode 0600"):
        await waiting.seed()
    assert seed.exists()
    assert "mode 0600" in caplog.text


async def test_one_that_is_too_large_is_said_at_once(
    waiting: Pending, seed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "PENDING_SECONDS", 600)
    write(seed, b'{"prompt":"' + b"x" * MAX_QUERY_BYTES + b'"}')
    with pytest.raises(PayloadTooLarge):
        await waiting.seed()
