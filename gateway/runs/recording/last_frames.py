"""The last frames of a run, as a gateway writes them in place of a sandbox that cannot say the run's end. Pure."""

from __future__ import annotations

from container.protocol import ExitReason, FrameType, encode, loss_frames, stamp
from gateway.errors import VaporForgeError
from gateway.model import Run, RunState

_REASONS = {RunState.LOST: ExitReason.LOST, RunState.STOPPED: ExitReason.STOPPED}


def last_frames(
    run: Run, state: RunState, error: VaporForgeError | None = None, *, lost: str = "gone"
) -> bytes:
    """Frames behind what is recorded, one a line: why the run ends in `state`, and `process-exit`; `run` before them
    where nothing is recorded yet. `lost`: why the sandbox of a lost one ended."""
    frames: list[dict[str, object]] = [] if run.recorded else [{"type": FrameType.RUN}]
    if state is RunState.LOST:
        frames += loss_frames(lost)
    elif error is not None:
        frames.append({"type": FrameType.ERROR, **error.body()})
    reason = _REASONS.get(state, ExitReason.FAILED)
    frames.append({"type": FrameType.PROCESS_EXIT, "exitCode": None, "reason": reason})
    lines = (stamp(encode(frame), run.id, seq) for seq, frame in enumerate(frames, run.recorded + 1))
    return b"\n".join(lines)
