"""The lock of a run that was killed: taken from the dead, never from the living or from another machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.cli.recovery import locks


@pytest.fixture
def ended() -> int:
    """The id of a process that is no more."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def locked(backend: Path, pid: int, host: str = "", since: datetime | None = None) -> Path:
    """A lock as Pulumi writes it, with the file of attributes that it writes beside."""
    folder = backend / ".pulumi" / "locks" / "organization" / "vaporforge" / "dev"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{pid}-{host}.json"
    timestamp = (since or datetime.now(UTC)).isoformat().replace("+00:00", "123Z")
    path.write_text(
        json.dumps(
            {
                "pid": pid,
                "username": "ada",
                "hostname": host or socket.gethostname(),
                "timestamp": timestamp,
            }
        ),
        encoding="utf-8",
    )
    path.with_name(f"{path.name}.attrs").write_text("{}", encoding="utf-8")
    return path


def test_a_dead_process_loses_its_lock(tmp_path: Path, ended: int) -> None:
    path = locked(tmp_path, ended)
    assert locks.free(tmp_path.as_uri(), "dev") == 1
    assert not list(path.parent.iterdir())


def test_a_living_process_keeps_its_lock(tmp_path: Path) -> None:
    path = locked(tmp_path, os.getpid())
    assert locks.free(tmp_path.as_uri(), "dev") == 0
    assert path.exists()


def test_an_id_that_was_given_again_is_not_the_holder(tmp_path: Path) -> None:
    path = locked(tmp_path, os.getpid(), since=datetime.now(UTC) - timedelta(days=400))
    assert locks.free(tmp_path.as_uri(), "dev") == 1
    assert not path.exists()


def test_another_machines_lock_is_left_alone(tmp_path: Path, ended: int) -> None:
    path = locked(tmp_path, ended, host="elsewhere")
    assert locks.free(tmp_path.as_uri(), "dev") == 0
    assert path.exists()


def test_another_stacks_lock_is_left_alone(tmp_path: Path, ended: int) -> None:
    path = locked(tmp_path, ended)
    assert locks.free(tmp_path.as_uri(), "prod") == 0
    assert path.exists()


@pytest.mark.parametrize("backend", ["", "https://api.pulumi.com", "s3://bucket"])
def test_a_backend_that_is_no_folder_has_no_such_locks(backend: str) -> None:
    assert locks.locks(backend, "dev") == []


def test_a_backend_in_the_home_folder_is_found(
    tmp_path: Path, ended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    locked(tmp_path, ended)
    assert [lock.pid for lock in locks.locks("file://~", "dev")] == [ended]
