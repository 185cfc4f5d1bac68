"""What an earlier agent server left: every good log becomes a run, and no bad one keeps the server from starting."""

from __future__ import annotations

import os
from pathlib import Path

from container.protocol import encode
from container.runs.framelog import FrameLog, exit_frame
from container.runs.recovery import recover
from tests.container.conftest import ONE_SHOT, Start, recorded


def leave(directory: Path, name: str, *, ended: bool = True) -> None:
    log = FrameLog(directory / name, name.split(".", maxsplit=1)[0])
    log.append([encode({"type": "run"}), *([exit_frame(0, "completed")] if ended else [])])
    log.close()


def test_logs_become_runs_that_have_ended(tmp_path: Path) -> None:
    leave(tmp_path, "a.recorded.jsonl")
    leave(tmp_path, "b.jsonl")
    leave(tmp_path, "c.jsonl", ended=False)
    for age, name in enumerate(("c.jsonl", "b.jsonl", "a.recorded.jsonl")):
        os.utime(tmp_path / name, (1_000_000 - age, 1_000_000 - age))
    assert [(run.id, run.state, run.recorded, run.frames.last) for run in recover(tmp_path, "oom")] == [
        ("a", "completed", 2, 2),
        ("b", "completed", 0, 2),
        ("c", "lost", 0, 3),
    ]


def test_a_bad_log_is_put_aside_and_what_is_no_file_left_alone(tmp_path: Path) -> None:
    leave(tmp_path, "good.jsonl")
    (tmp_path / "junk.jsonl").write_bytes(b'junk,"run":"junk","seq":1}\n')
    (tmp_path / "odd.jsonl").write_bytes(
        b'{"type":"process-exit","exitCode":0,"reason":"exploded","run":"odd","seq":1}\n'
    )
    (tmp_path / "early.jsonl").write_bytes(
        b'{"type":"process-exit","exitCode":0,"reason":"running","run":"early","seq":1}\n'
    )
    (tmp_path / "no run's.jsonl").write_bytes(b"kept as it is")
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "fifo.jsonl")
    (tmp_path / "link.jsonl").symlink_to("/no/such/file")
    assert [run.id for run in recover(tmp_path, "oom")] == ["good"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "early.jsonl.bad",
        "fifo.jsonl",
        "folder.jsonl",
        "good.jsonl",
        "junk.jsonl.bad",
        "link.jsonl",
        "no run's.jsonl.bad",
        "odd.jsonl.bad",
    ]
    assert (tmp_path / "no run's.jsonl.bad").read_bytes() == b"kept as it is"


async def test_the_server_starts_all_the_same(start: Start, tmp_path: Path) -> None:
    logs = tmp_path / "home" / ".vaporforge" / "runs"
    logs.mkdir(parents=True)
    leave(logs, "good.jsonl")
    (logs / "junk.jsonl").write_bytes(b'junk,"run":"junk","seq":1}\n')
    sandbox = await start(ONE_SHOT)
    frames, close_code = await sandbox.read("good")
    assert ([frame["type"] for frame in recorded(frames)], close_code) == (["run", "process-exit"], 1000)
