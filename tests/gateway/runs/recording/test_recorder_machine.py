"""Runs under any interleaving of two gateways, a sweeper, stops, cuts, crashes, lost sandboxes and a failing store.

The recorders, the sweeps, the followers, the store and the agent server are the real ones; the agent says what it is
told, and time passes only when a step says so. Steps do not wait for what they begin, so whatever is held up, by a
frozen gateway or a store that loses answers, meets what later steps begin. After each step everything that anybody was
shown is held against what the sandbox has written; at the end all is mended, and all must come to rest.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.model import Message, Run, RunState
from tests.gateway.runs.recording.recorder_acts import Act, Acts
from tests.gateway.runs.recording.recorder_readers import Evidence
from tests.gateway.runs.recording.recorder_world import LEASE, World
from tests.gateway.store.store_table import patiently

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

PAUSES = (0.0, 0.02, 0.12)
REST_SECONDS = 90.0
"""More than a healthy world ever needs: what has not come to rest by then hangs."""

LIMIT = 200  # more runs than an example makes

ACTS = st.builds(
    Act,
    what=st.sampled_from(
        ["say"] * 6
        + ["submit"] * 4
        + ["read", "overtake", "overtake"] * 2
        + ["end", "stop", "sweep", "lapse", "store", "crash", "freeze", "kill", "bear"] * 2
        + ["bereave", "bereave", "cut", "drain", "silence", "leave"]
    ),
    who=st.integers(0, 5),
    much=st.integers(0, 5),
)


@pytest.fixture(scope="module")
def world(dynamodb_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(dynamodb_endpoint, tmp_path_factory.mktemp("sandboxes"))
    yield made
    made.close()


class Machine(RuleBasedStateMachine):
    """One session of the world."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.evidence = Evidence(world)
        self.acts = Acts(world)
        self.history: list[tuple[list[Act], float]] = []
        self.is_whole = True
        self._run(self._begin())

    async def _begin(self) -> None:
        await self.world.begin()
        with patiently(*(place.store for place in self.world.places)):
            await self.acts.together([Act("submit", 0, 0)], 0)
            async with asyncio.timeout(REST_SECONDS):
                while self.world.sandbox.active is None:
                    await asyncio.sleep(0.005)

    # -- what happens --
    @rule(acts=st.lists(ACTS, min_size=1, max_size=3), pause=st.sampled_from(PAUSES))
    def together(self, acts: list[Act], pause: float) -> None:
        self.history.append((acts, pause))
        self._run(self.acts.together(acts, pause))

    def _run(self, doing: Coroutine[Any, Any, Any]) -> None:
        """Let time go on until it is done. An error is printed with what happened before it: Hypothesis tries again,
        which need not fail again, and then tells of that alone."""
        try:
            self.world.runner.run(doing)
        except BaseException as error:
            self.is_whole = False
            error.add_note("\n".join(map(repr, self.history)))
            traceback.print_exception(error)
            raise

    # -- what must hold --
    @invariant()
    def everything_is_in_order(self) -> None:
        self._run(self._check())

    async def _check(self) -> dict[str, list[Message]]:
        """The messages of each run."""
        observer, session = self.world.observer, self.world.session.id
        page = await observer.list_runs(session, limit=LIMIT)
        of_run: dict[str, list[Message]] = {run.id: [] for run in page.items}
        for message in (await observer.list_messages(session, limit=2 * LIMIT)).items:
            of_run.setdefault(message.run, []).append(message)
        await asyncio.gather(*(self.evidence.read(run) for run in of_run))
        self.evidence.judge(self.acts.readers)
        assert self.world.wrongs.found == []
        for place in self.world.places:
            place.check_leases()
        for run, said in of_run.items():
            self._check_messages(run, said)
        return of_run

    def _check_messages(self, run: str, messages: list[Message]) -> None:
        asked, *answers = sorted(messages, key=lambda message: message.role, reverse=True)
        assert (asked.role, [answer.role for answer in answers]) in (("user", []), ("user", ["assistant"]))
        assert self.acts.admitted.get(asked.id, run) == run
        for answer in answers:
            known = self.evidence.runs[run]
            frames = [json.loads(line) for line in self.evidence.recorded[run]]
            assert known.state.final
            assert answer.content == "".join(
                frame["text"] for frame in frames if frame["type"] == "text-delta"
            )
            assert answer.meta["reason"] == known.reason == frames[-1]["reason"]

    # -- how it ends --
    def teardown(self) -> None:
        try:
            self.world.heal()
            if self.is_whole:
                self._run(self._rest())
        finally:
            for reader in self.acts.readers:
                reader.task.cancel()
            self.world.runner.run(self.world.end())

    async def _rest(self) -> None:
        """Everything is mended: what two gateways and their sweepers do by themselves brings every run to its end."""
        try:
            async with asyncio.timeout(REST_SECONDS):
                while (
                    self.acts.clients
                    or (await self.world.observer.get_session(self.world.session.id)).active_run
                ):
                    await self._go_on()
                    assert self.world.wrongs.found == []
                    await asyncio.sleep(0.01)
                await asyncio.gather(*(reader.task for reader in self.acts.readers))
        except TimeoutError:
            raise AssertionError(f"never at rest: {self.acts.clients} {self.evidence.runs}") from None
        of_run = await self._check()
        assert (
            self.acts.admitted.items()
            <= {message.id: run for run, said in of_run.items() for message in said}.items()
        )
        for run, said in of_run.items():
            self._check_end(self.evidence.runs[run], len(said))
        for reader in self.acts.readers:
            self.evidence.judge_reader(reader)
        for place in self.world.places:
            place.check_counters()

    async def _go_on(self) -> None:
        """An agent that was not asked to stop ends its answer; a run that nobody records is swept up."""
        observer, sandbox, session = self.world.observer, self.world.sandbox, self.world.session.id
        chat = await observer.get_session(session)
        recorders = [recorder for place in self.world.places for recorder in place.runs.recorders]
        if chat.active_run is not None and chat.active_run not in recorders:
            self.world.pass_time(2 * LEASE)
            await asyncio.gather(*(self.world.sweep(place) for place in self.world.places))
        active = sandbox.active
        if active is not None and not (await observer.get_run(session, active)).stop_requested:
            await self.acts.end_answer()

    def _check_end(self, run: Run, messages: int) -> None:
        lines = self.evidence.recorded[run.id]
        assert run.state.final
        assert len(lines) == run.recorded
        assert [json.loads(line)["type"] for line in lines].count("process-exit") == 1
        waited_only = run.generation == 0  # stopped in the queue: no gateway ever had it
        assert messages == (1 if waited_only else 2)
        if not run.own and not waited_only:
            assert lines in [volume.get(run.id) for volume in self.world.sandbox.written]
        assert run.own == 0 or run.state is not RunState.COMPLETED


@pytest.mark.timeout(600)  # a loaded machine takes its time; an idle one some 15 seconds
@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_any_interleaving_keeps_the_promise(world: World, pytestconfig: pytest.Config, part: int) -> None:
    """In parts, for as many workers: as one test this would go on when all others have ended."""

    @seed(f"{pytestconfig.getoption('--hypothesis-seed')} {part}")
    class InWorld(Machine):
        def __init__(self) -> None:
            super().__init__(world)

    run_state_machine_as_test(
        InWorld,
        settings=settings(
            max_examples=4,  # the first of each part is the simplest
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # each try takes seconds, and need not fail again
            report_multiple_bugs=False,
        ),
    )
