"""Runs under any interleaving of two gateways, a sweeper, stops, cuts, crashes, lost sandboxes and a failing store.

The recorders, the sweeps, the followers, the store and the agent server are the real ones; the agent says what it is
told, and time passes only when a step says so. Steps do not wait for what they begin, so whatever is held up, by a
frozen gateway or a store that loses answers, meets what later steps begin. After each step everything that anybody was
shown is held against what the sandbox has written; at the end all is mended, and all must come to rest.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from container.agent import Outcome
from container.protocol import ExitReason
from gateway import errors, signals
from gateway.model import Message, OnBusy, Run, RunState
from tests.gateway.fault_proxy import Faults
from tests.gateway.recorder_readers import Evidence, Reader
from tests.gateway.recorder_world import LEASE, START, Place, World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

NOISE = random.Random(5).randbytes(60_000).hex()
LARGE = 5
FAULTS = (
    Faults(),
    Faults(throttle=0.5),
    Faults(error=0.2, cut=0.3),
    Faults(lost=0.5),
    Faults(zombie=0.4, hold_seconds=0.03),
    Faults(throttle=0.9),
)
AT_ONCE = ("_overtake", "_bereave", "_bear")
"""What is a little story of its own, and is told to its end before the next step."""

PAUSES = (0.0, 0.02, 0.12)
REST_SECONDS = 90.0
"""More than a healthy world ever needs: what has not come to rest by then hangs."""


@dataclass(frozen=True)
class Act:
    """Something that happens: `what`, at which gateway (`who` is even or odd), and how much or to which run."""

    what: str
    who: int
    much: int


ACTS = st.builds(
    Act,
    what=st.sampled_from(
        ["say"] * 6
        + ["submit"] * 4
        + ["read", "overtake", "overtake"] * 2
        + ["end", "stop", "sweep", "lapse", "store", "crash", "freeze", "kill", "bear"] * 2
        + ["bereave", "cut", "drain", "silence", "leave"]
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
        self.admitted: dict[str, str] = {}
        self.readers: list[Reader] = []
        self.clients: set[asyncio.Task[None]] = set()
        self.words = self.large = 0
        self.history: list[tuple[list[Act], float]] = []
        self.is_whole = True
        self._run(self._begin())

    async def _begin(self) -> None:
        await self.world.begin()
        self._start(self._submit(Act("submit", 0, 0)))
        async with asyncio.timeout(REST_SECONDS):
            while self.world.sandbox.active is None:
                await asyncio.sleep(0.005)

    def _start(self, doing: Coroutine[Any, Any, None]) -> None:
        """Somebody begins to do something; who asks a gateway that dies, drains or has no store is told so."""

        async def do() -> None:
            try:
                await doing
            except (errors.Unavailable, errors.SessionBusy, errors.QueueFull):
                pass
            except Exception as error:  # noqa: BLE001 - kept, and raised by the step that finds it
                self.world.wrongs.add(repr(error))

        task = asyncio.create_task(do(), name=getattr(doing, "__name__", ""))
        self.clients.add(task)
        task.add_done_callback(self.clients.discard)

    # -- what happens --
    @rule(acts=st.lists(ACTS, min_size=1, max_size=3), pause=st.sampled_from(PAUSES))
    def together(self, acts: list[Act], pause: float) -> None:
        self.history.append((acts, pause))
        self._run(self._together(acts, pause))

    def _run(self, doing: Coroutine[Any, Any, Any]) -> None:
        """Let time go on until it is done. An error tells what happened before: another try need not fail again."""
        try:
            self.world.runner.run(doing)
        except BaseException as error:
            self.is_whole = False
            error.add_note("\n".join(map(repr, self.history)))
            raise

    async def _together(self, acts: list[Act], pause: float) -> None:
        for act in acts:
            self._start(getattr(self, f"_{act.what}")(act))
        await asyncio.sleep(pause)
        while any(client.get_name() in AT_ONCE for client in self.clients):
            await asyncio.sleep(0.005)

    async def _submit(self, act: Act) -> None:
        name, on_busy = f"m{act.much}", list(OnBusy)[act.who // 2]
        is_known = name in self.admitted
        try:
            admission = await self.world.submit(self.world.places[act.who % 2], name, on_busy)
        except errors.Conflict:
            assert not is_known
            raise
        assert self.admitted.setdefault(name, admission.run.id) == admission.run.id
        assert admission.duplicate or not is_known
        if act.much % 2 == 0:
            self._read_run(admission.run.id, Act("read", act.who, 0))

    async def _say(self, act: Act) -> None:
        agent = self.world.sandbox.agent
        if agent is not None:
            large = act.much == LARGE and self.large < 5
            self.large += large
            agent.say([self._frame(large)] if large else [self._frame() for _ in range(1 + act.much)])

    def _frame(self, large: bool = False) -> dict[str, Any]:
        self.words += 1
        if self.words % 4 == 0:
            return {"type": "tool-start", "id": f"t{self.words}", "name": "Write", "input": {"n": self.words}}
        return {"type": "text-delta", "text": f"{self.words} " + (NOISE if large else "")}

    async def _end(self, act: Act) -> None:
        agent = self.world.sandbox.agent
        if agent is None:
            return
        if act.much % 2:
            agent.say([{"type": "error", "error": "no", "code": "no"}])
            agent.end(Outcome(1, ExitReason.FAILED))
        else:
            agent.say([{"type": "done", "sessionId": "sdk", "fullText": ""}])
            agent.end(Outcome(0, ExitReason.COMPLETED))

    async def _stop(self, act: Act) -> None:
        await signals.stop(self.world.places[act.who % 2].runs, self.world.session.id, self._some_run(act))

    def _some_run(self, act: Act) -> str | None:
        runs = list(self.admitted.values())
        return runs[-1 - act.much % len(runs)] if runs and act.much else None

    async def _sweep(self, act: Act) -> None:
        await self.world.sweep(self.world.places[act.who % 2])

    async def _lapse(self, act: Act) -> None:
        self.world.pass_time(2 * LEASE)

    async def _bear(self, act: Act) -> None:
        """Nobody reaches the sandbox, for longer than anybody waits; there may be nobody to stop it either."""
        sandbox = self.world.sandbox
        sandbox.reachable, sandbox.commanded = False, act.much % 2 == 0
        sandbox.cut()
        for _ in range(act.who % 3):
            await asyncio.sleep(0.05)
            self.world.pass_time(1.1 * START)
        await asyncio.sleep(0.05)
        sandbox.reachable = sandbox.commanded = True

    async def _store(self, act: Act) -> None:
        self.world.places[act.who % 2].proxy.faults = FAULTS[act.much]

    async def _freeze(self, act: Act) -> None:
        """SIGSTOP, or SIGCONT, as far as the store can tell."""
        store = self.world.places[act.who % 2].store
        if act.much % 2:
            store.thaw()
        else:
            store.freeze(act.who)

    async def _overtake(self, act: Act) -> None:
        """A gateway is paused in what it does, for so long that the other takes over; then it goes on, or dies."""
        paused = await self._pause_recording(act)
        if act.much > 3:
            self._start(self._stop(Act("stop", act.who, 0)))
        self.world.pass_time(2 * LEASE)
        (other,) = (place for place in self.world.places if place is not paused)
        other.store.thaw()
        before = other.runs.stats.takeovers
        self._start(self.world.sweep(other))
        await self._soon(lambda: other.runs.stats.takeovers > before)
        await asyncio.sleep(0.04 * (act.much % 3))
        if act.who == 5:
            paused.crash()
        paused.store.thaw()

    async def _bereave(self, act: Act) -> None:
        """The sandbox is lost, with its volume or without, when its readers have more than is recorded."""
        paused = await self._pause_recording(act)
        await self.world.sandbox.kill(torn=True, lost=act.much > 2)
        paused.store.thaw()

    async def _pause_recording(self, act: Act) -> Place:
        """Freeze the gateway that records what the agent says, where there is one."""
        places = [self.world.places[(act.who + n) % 2] for n in (0, 1)]
        await self._soon(lambda: any(place.is_recording() for place in places))
        paused = next((place for place in places if place.is_recording()), places[0])
        paused.store.freeze((2 * act.much + act.who) % 7)
        await self._say(act)
        if act.what == "overtake" and act.much in (2, 3):
            await self._end(act)
        await self._soon(lambda: paused.store.held > 0)
        return paused

    async def _soon(self, condition: Callable[[], bool]) -> None:
        """Wait for what mostly comes; when it does not, something else is tested."""
        for _ in range(60):
            if condition():
                return
            await asyncio.sleep(0.005)

    async def _crash(self, act: Act) -> None:
        self.world.places[act.who % 2].crash()

    async def _drain(self, act: Act) -> None:
        await self.world.places[act.who % 2].drain()

    async def _cut(self, act: Act) -> None:
        self.world.sandbox.cut()

    async def _kill(self, act: Act) -> None:
        await self.world.sandbox.kill(torn=act.much > 2)

    async def _silence(self, act: Act) -> None:
        """The sandbox's network, the launcher, or both are away; or come back."""
        self.world.sandbox.reachable = act.much in (0, 1, 4)
        self.world.sandbox.commanded = act.much in (0, 1, 2)
        if not self.world.sandbox.reachable:
            self.world.sandbox.cut()

    async def _read(self, act: Act) -> None:
        run = self._some_run(act) or next(iter(self.admitted.values()), None)
        if run is not None:
            self._read_run(run, act)

    def _read_run(self, run: str, act: Act) -> None:
        base = act.who * act.much % 7
        slow, batch = act.much > 3, act.much % 2 == 0
        self.readers.append(Reader(self.world, run, base, at=act.who, batch=batch, slow=slow))

    async def _leave(self, act: Act) -> None:
        for reader in self.readers[act.much % 2 :: 2]:
            reader.leave()

    # -- what must hold --
    @invariant()
    def everything_is_in_order(self) -> None:
        self._run(self._check())

    async def _check(self) -> dict[str, list[Message]]:
        """The messages of each run."""
        observer, session = self.world.observer, self.world.session.id
        page = await observer.list_runs(session)
        of_run: dict[str, list[Message]] = {run.id: [] for run in page.items}
        for message in (await observer.list_messages(session)).items:
            of_run.setdefault(message.run, []).append(message)
        await asyncio.gather(*(self.evidence.read(run) for run in of_run))
        self.evidence.judge(self.readers)
        assert self.world.wrongs.found == []
        for place in self.world.places:
            place.check_leases()
        for run, said in of_run.items():
            self._check_messages(run, said)
        return of_run

    def _check_messages(self, run: str, messages: list[Message]) -> None:
        asked, *answers = sorted(messages, key=lambda message: message.role, reverse=True)
        assert (asked.role, [answer.role for answer in answers]) in (("user", []), ("user", ["assistant"]))
        assert self.admitted.get(asked.id, run) == run
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
            for reader in self.readers:
                reader.task.cancel()
            self.world.runner.run(self.world.end())

    async def _rest(self) -> None:
        """Everything is mended: what two gateways and their sweepers do by themselves brings every run to its end."""
        try:
            async with asyncio.timeout(REST_SECONDS):
                while (
                    self.clients or (await self.world.observer.get_session(self.world.session.id)).active_run
                ):
                    await self._go_on()
                    assert self.world.wrongs.found == []
                    await asyncio.sleep(0.01)
                await asyncio.gather(*(reader.task for reader in self.readers))
        except TimeoutError:
            raise AssertionError(f"never at rest: {self.clients} {self.evidence.runs}") from None
        of_run = await self._check()
        assert (
            self.admitted.items()
            <= {message.id: run for run, said in of_run.items() for message in said}.items()
        )
        for run, said in of_run.items():
            self._check_end(self.evidence.runs[run], len(said))
        for reader in self.readers:
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
            await self._end(Act("end", 0, 0))

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


@pytest.mark.timeout(600)  # a loaded machine takes its time; an idle one some 40 seconds
@pytest.mark.slow
def test_any_interleaving_keeps_the_promise(world: World) -> None:
    class InWorld(Machine):
        def __init__(self) -> None:
            super().__init__(world)

    run_state_machine_as_test(
        InWorld,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # each try takes seconds, and need not fail again
            report_multiple_bugs=False,
        ),
    )
