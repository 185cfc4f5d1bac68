"""What an earlier agent server left on the volume: its logs become runs that have ended, and bad ones are put aside."""

from __future__ import annotations

import logging
import stat
from pathlib import Path
from typing import Final

from container.protocol import RUN_ID
from container.runs.framelog import FrameLog, end_reason, seal
from container.runs.run import Run, RunState

log = logging.getLogger(__name__)

RECORDED: Final = ".recorded.jsonl"
"""The name of a log whose every frame the recorder has: it survives a restart of this server."""


def recover(directory: Path, lost_reason: str) -> list[Run]:
    """The runs whose logs are in `directory`, the oldest first; one that was left open is ended as lost.

    What is no regular file is left alone. A log that is none (no run's name, damaged behind its numbers) is renamed to
    `.bad`, so that the others are found and this server starts.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = [(path, path.lstat()) for path in directory.glob("*.jsonl")]
    regular = [(status.st_mtime_ns, path) for path, status in found if stat.S_ISREG(status.st_mode)]
    runs = []
    for _, path in sorted(regular):
        try:
            runs.append(_run_of(path, lost_reason))
        except (OSError, ValueError) as error:
            log.error("%s is no log of a run and is put aside: %s", path.name, error)  # noqa: TRY400 - the sentence is the whole of it
            _put_aside(path)
    return runs


def _run_of(path: Path, lost_reason: str) -> Run:
    run_id = path.name.split(".")[0]
    if not RUN_ID.fullmatch(run_id):
        raise ValueError("its name is no run's")
    frames = FrameLog(path, run_id)
    try:
        if seal(frames, lost_reason):
            log.warning("run %s was left open by an agent server that died: ended as lost", run_id)
        run = Run(run_id, frames, RunState(end_reason(frames) or RunState.LOST))
    finally:
        frames.close()
    if not run.is_final:
        raise ValueError(f"a run does not end as {run.state}")
    run.recorded = frames.last if path.name.endswith(RECORDED) else 0
    return run


def _put_aside(path: Path) -> None:
    try:
        path.rename(path.with_name(f"{path.name}.bad"))
    except OSError:
        log.exception("%s stays where it is", path.name)
