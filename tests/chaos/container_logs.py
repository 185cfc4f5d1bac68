"""The frame logs in sandboxes' containers, read through the Docker engine; every function blocks."""

from __future__ import annotations

import io
import tarfile

from docker.errors import APIError
from docker.models.containers import Container

RUNS_FOLDER = "/var/lib/vaporforge/runs"


def frames_in(container: Container, run: str) -> list[bytes] | None:
    """The frames of a run; None when it has no log there (any more)."""
    for name in (f"{run}.jsonl", f"{run}.recorded.jsonl"):
        try:
            chunks, _ = container.get_archive(f"{RUNS_FOLDER}/{name}")
        except APIError:  # not there, or the container went just now
            continue
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(name)
            return file.read().splitlines() if file is not None else None
    return None


def is_mid_run(container: Container, run: str) -> bool:
    """Whether text was written and the end was not; certain only while the container is frozen."""
    frames = frames_in(container, run) or []
    return any(b'"text-delta"' in frame for frame in frames) and b'"process-exit"' not in frames[-1]
