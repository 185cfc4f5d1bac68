"""The frame log: numbering, cursors, crashes, full disks, sealing."""

from __future__ import annotations

import json
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from container.protocol import encode, stamp
from container.runs.framelog import (
    TAIL_BYTES,
    FrameLog,
    LogFullError,
    RunTooLargeError,
    end_reason,
    exit_frame,
    seal,
)


def body(number: int, size: int = 0) -> bytes:
    return encode({"type": "text-delta", "text": f"{number}" + "x" * size})


def read_all(log: FrameLog, after: int = 0, max_bytes: int = 1000) -> list[bytes]:
    frames: list[bytes] = []
    while True:
        data, last = log.read(after, max_bytes)
        if not data:
            assert last == after
            return frames
        lines = data.split(b"\n")
        assert len(lines) == last - after
        assert len(data) <= max_bytes or len(lines) == 1
        frames += lines
        after = last


@contextmanager
def no_file_grows_past(size: int) -> Iterator[None]:
    """The kernel refuses writes past `size` bytes of a file, as a full disk does (EFBIG here, ENOSPC there)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class AnyHistory(RuleBasedStateMachine):
    """Appends, reads, closes and crashes in any order: the frames are those appended, each once and in order."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "log"
        self.log = FrameLog(self.path, "r")
        self.frames: list[bytes] = []

    @rule(sizes=st.lists(st.integers(0, 200), max_size=8))
    def append(self, sizes: list[int]) -> None:
        bodies = [body(len(self.frames) + n, size) for n, size in enumerate(sizes)]
        self.frames += [stamp(line, "r", len(self.frames) + n) for n, line in enumerate(bodies, 1)]
        assert self.log.append(bodies) == len(self.frames)

    @rule(size=st.integers(1, 3 * TAIL_BYTES))
    def append_much(self, size: int) -> None:
        self.frames.append(stamp(body(0, size), "r", len(self.frames) + 1))
        self.log.append([body(0, size)])

    @rule()
    def close(self) -> None:
        self.log.close()

    @rule(torn=st.integers(0, 400), garbage=st.binary(max_size=30))
    def crash(self, torn: int, garbage: bytes) -> None:
        self.log.close()
        if self.path.exists():
            size = max(0, self.path.stat().st_size - torn)
            os.truncate(self.path, size)
            with self.path.open("ab") as file:
                file.write(garbage)
            while sum(len(frame) + 1 for frame in self.frames) > size:
                self.frames.pop()
        self.log = FrameLog(self.path, "r")

    @rule(data=st.data(), max_bytes=st.integers(1, 2000))
    def read(self, data: st.DataObject, max_bytes: int) -> None:
        after = data.draw(st.integers(0, len(self.frames)))
        assert read_all(self.log, after, max_bytes) == self.frames[after:]

    @invariant()
    def numbers_are_right(self) -> None:
        assert self.log.last == len(self.frames)

    def teardown(self) -> None:
        self.log.close()
        self.folder.cleanup()


TestAnyHistory = AnyHistory.TestCase


def test_the_file_is_the_frames_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "log", "r")
    log.append([body(1), body(2)])
    assert (tmp_path / "log").read_bytes() == b"".join(stamp(body(n), "r", n) + b"\n" for n in (1, 2))
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    log.close()


def test_no_frame_no_file(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "log", "r")
    assert log.read(0) == (b"", 0)
    assert log.read(5) == (b"", 5)
    log.close()
    assert not (tmp_path / "log").exists()


def test_a_run_of_zeros_that_a_dead_machine_left_is_cut_off(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "log", "r")
    log.append([body(1), body(2)])
    log.close()
    with (tmp_path / "log").open("ab") as file:
        file.write(bytes(5000) + b"\n" + stamp(body(4), "r", 4) + b"\n")
    again = FrameLog(tmp_path / "log", "r")
    assert again.last == 2
    again.append([body(3)])
    assert [json.loads(frame)["seq"] for frame in read_all(again)] == [1, 2, 3]
    again.close()


def test_while_the_disk_is_full_frames_are_read_from_memory_and_written_later(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "log", "r")
    log.append([body(1, 500)])
    with no_file_grows_past(700):
        log.append([body(2, 500)])
        log.append([body(3, 500)])
        assert log.unwritten > 0
        assert not log.flush()
        assert len(read_all(log)) == 3
        log.close()
        assert len(read_all(log)) == 3
    log.append([body(4)])
    assert log.unwritten == 0
    frames = read_all(log)
    log.close()
    again = FrameLog(tmp_path / "log", "r")
    assert read_all(again) == frames
    assert again.last == 4
    again.close()


def test_a_disk_that_is_full_from_the_start_loses_nothing(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "missing" / "log", "r")
    log.append([body(1)])
    assert log.unwritten > 0
    (tmp_path / "missing").mkdir()
    assert log.flush()
    assert len(read_all(log)) == 1
    log.close()


def test_past_the_memory_bound_the_log_is_full_but_takes_last_words(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "missing" / "log", "r", max_unwritten=1000)
    log.append([body(1, 800)])
    with pytest.raises(LogFullError):
        log.append([body(2, 800)])
    assert log.last == 1
    log.append([exit_frame(None, "failed")], last_words=True)
    assert [json.loads(frame)["seq"] for frame in read_all(log)] == [1, 2]


def test_past_its_bytes_a_run_takes_only_last_words(tmp_path: Path) -> None:
    stamped = len(stamp(body(1, 100), "r", 1)) + 1
    log = FrameLog(tmp_path / "log", "r", max_bytes=2 * stamped)
    log.append([body(1, 100)])
    with pytest.raises(RunTooLargeError):
        log.append([body(2, 100), body(3, 100)])
    assert log.append([body(2, 100)]) == 2  # just the limit
    with pytest.raises(RunTooLargeError):
        log.append([encode({"type": "x"})])
    log.append([exit_frame(None, "failed")], last_words=True)
    log.close()
    assert [json.loads(frame)["seq"] for frame in read_all(FrameLog(tmp_path / "log", "r", max_bytes=1))] == [
        1,
        2,
        3,
    ]


def types(log: FrameLog) -> list[str]:
    frames: list[dict[str, Any]] = [json.loads(frame) for frame in read_all(log)]
    return [frame["type"] for frame in frames]


def test_a_log_left_open_is_sealed_once(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "log", "r")
    log.append([encode({"type": "run"}), body(1)])
    assert end_reason(log) is None
    assert seal(log, "oom")
    assert not seal(log, "oom")
    assert types(log) == ["run", "text-delta", "sandbox-lost", "process-exit"]
    assert json.loads(read_all(log)[2])["reason"] == "oom"
    assert end_reason(log) == "lost"
    log.close()


def test_a_sandbox_that_was_ended_for_its_disk_says_so_in_an_error_too(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "log", "r")
    log.append([encode({"type": "run"})])
    assert seal(log, "disk-quota")
    assert types(log) == ["run", "error", "sandbox-lost", "process-exit"]
    error, lost = (json.loads(frame) for frame in read_all(log)[1:3])
    assert (error["code"], lost["reason"]) == ("disk-quota", "disk-quota")
    assert "deleted" in error["error"]
    log.close()


def test_a_log_that_lost_everything_is_sealed_from_its_first_frame(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"type":"ru')
    log = FrameLog(tmp_path / "log", "r")
    assert seal(log, "gone")
    assert types(log) == ["run", "sandbox-lost", "process-exit"]
    log.close()


def test_an_ended_log_is_left_alone(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "log", "r")
    log.append([exit_frame(0, "completed")])
    assert not seal(log, "gone")
    assert end_reason(log) == "completed"
    log.close()


@given(st.integers(1, 3 * TAIL_BYTES))
def test_a_frame_larger_than_any_bound_is_read_whole(size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = FrameLog(Path(folder) / "log", "r")
        log.append([body(1), body(2, size), body(3)])
        assert read_all(log, 1, 10)[0] == stamp(body(2, size), "r", 2)
        log.close()


def test_rename_and_delete(tmp_path: Path) -> None:
    log = FrameLog(tmp_path / "log", "r")
    log.append([body(1)])
    log.rename(tmp_path / "other")
    log.close()
    assert len(read_all(log)) == 1
    log.delete()
    log.delete()
    assert list(tmp_path.iterdir()) == []
