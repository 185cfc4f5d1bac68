"""Which runs a gateway drives: those whose lease it holds, also where it hears of them late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.model import Admission, Run, RunState
from gateway.runs.service import RunService
from gateway.runs.stats import Stats
from gateway.sandboxes.agent_client import sandbox_client
from tests.gateway.fakes import SESSION, FakeDriver, FakeStore, a_run, a_session, line, quick_settings, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NEXT = "r2"


class LateStore(FakeStore):
    """Tells of a run only when another gateway has taken it over: of an admitted one, or of a promoted one."""

    def __init__(self, runs: dict[str, Run]) -> None:
        super().__init__(a_run(RunState.RUNNING, generation=2, recorded=2), END)
        self.runs = runs
        self.released: list[Run] = []

    async def create_run(self, _new: object, **_: object) -> Admission:
        return Admission(self.runs["admitted"], 0)

    async def finish_run(self, run: Run, **end: Any) -> Any:
        return (await super().finish_run(run, **end))[0], self.runs["promoted"]

    async def release_lease(self, run: Run) -> None:
        self.released.append(run)


END = [line(1, "run"), line(2, "process-exit", exitCode=0, reason="completed")]


@pytest.fixture
async def late() -> AsyncIterator[tuple[RunService, LateStore]]:
    """A gateway on such a store."""
    other = a_run(id=NEXT, generation=2, lease_owner="another")
    store = LateStore({"admitted": other, "promoted": other})
    async with sandbox_client() as client:
        runs = RunService(quick_settings(lease_seconds=60.0), store, FakeDriver(), client, Stats())  # type: ignore[arg-type]
        yield runs, store
        await runs.drain()


async def test_a_run_that_was_taken_over_before_its_admission_was_heard_of_is_not_driven(
    late: tuple[RunService, LateStore],
) -> None:
    runs, _ = late
    admission = await runs.submit(a_session(), "ada", {"sessionId": SESSION, "prompt": "hello"})
    assert admission.run.id == NEXT
    assert runs.recorders == {}


async def test_a_run_that_was_taken_over_before_its_promotion_was_heard_of_is_not_driven(
    late: tuple[RunService, LateStore],
) -> None:
    runs, store = late
    runs.start_recorder(store.run)
    await until(lambda: store.run.state.final and not runs._tasks)
    assert runs.recorders == {}


async def test_a_gateway_that_goes_away_gives_back_no_lease_of_another(
    late: tuple[RunService, LateStore],
) -> None:
    runs, store = late
    runs.drained.set()
    await runs.drive(store.runs["admitted"])
    assert store.released == []
