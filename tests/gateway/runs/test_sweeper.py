"""The sweeper beside what else a gateway does."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from gateway.model import Run
from gateway.runs.service import RunService
from gateway.runs.sweeper import sweep
from tests.gateway.runs.recording.test_transcript import RUN


async def test_a_lease_that_is_taken_as_a_drain_begins_is_given_back() -> None:
    given: list[Run] = []

    class Leases:
        async def expired_runs(self, **_: Any) -> Sequence[Run]:
            return [RUN]

        async def take_lease(self, run: Run, **_: Any) -> Run:
            runs.draining = True
            return run

        async def release_lease(self, run: Run) -> None:
            given.append(run)

    runs: Any = SimpleNamespace(
        store=Leases(),
        settings=SimpleNamespace(lease_seconds=10.0),
        gateway=RUN.lease_owner,
        recorders={},
        draining=False,
        stats=SimpleNamespace(takeovers=0),
    )
    runs.drive = functools.partial(RunService.drive, runs)
    await sweep(runs)
    assert given == [RUN]
