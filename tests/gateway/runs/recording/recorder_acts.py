"""What may happen in the world of two gateways: the acts of agents, users, operators and bad luck."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from container.agent.answer import Outcome
from container.protocol import ExitReason
from gateway import errors
from gateway.model import OnBusy
from tests.gateway.fault_proxy import Faults
from tests.gateway.runs.recording.recorder_readers import Reader
from tests.gateway.runs.recording.recorder_world import LEASE, START, Place, World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

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

STORY_SECONDS = 60.0
"""Much more than any takes: none of them waits for what need not come."""


@dataclass(frozen=True)
class Act:
    """Something that happens: `what`, at which gateway (`who` is even or odd), and how much or to which run."""

    what: str
    who: int
    much: int


class Acts:
    """Begins acts; most go on by themselves. `admitted`: the run of each message that was told to be admitted."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.admitted: dict[str, str] = {}
        self.readers: list[Reader] = []
        self.clients: set[asyncio.Task[None]] = set()
        self._words = self._large = 0

    async def together(self, acts: Sequence[Act], pause: float) -> None:
        """Begin them all, and let `pause` seconds go by; stories are told to their end."""
        for act in acts:
            self._start(getattr(self, f"_{act.what}")(act))
        await asyncio.sleep(pause)
        async with asyncio.timeout(STORY_SECONDS):
            while any(client.get_name() in AT_ONCE for client in self.clients):
                await asyncio.sleep(0.005)

    async def end_answer(self) -> None:
        """The agent has said all."""
        await self._end(Act("end", 0, 0))

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

    # -- each act --
    async def _submit(self, act: Act) -> None:
        await self._ask(self.world.places[act.who % 2], f"m{act.much}", list(OnBusy)[act.who // 2])
        if act.much % 2 == 0:
            self._read_run(self.admitted[f"m{act.much}"], Act("read", act.who, 0))

    async def _ask(self, place: Place, message: str, on_busy: OnBusy) -> None:
        is_known = message in self.admitted
        try:
            admission = await self.world.submit(place, message, on_busy)
        except errors.Conflict:
            assert not is_known
            raise
        assert self.admitted.setdefault(message, admission.run.id) == admission.run.id
        assert admission.duplicate or not is_known

    async def _say(self, act: Act) -> None:
        agent = self.world.sandbox.agent
        if agent is not None:
            large = act.much == LARGE and self._large < 5
            self._large += large
            agent.say([self._frame(large)] if large else [self._frame() for _ in range(1 + act.much)])

    def _frame(self, large: bool = False) -> dict[str, Any]:
        self._words += 1
        if self._words % 4 == 0:
            return {
                "type": "tool-start",
                "id": f"t{self._words}",
                "name": "Write",
                "input": {"n": self._words},
            }
        return {"type": "text-delta", "text": f"{self._words} " + (NOISE if large else "")}

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
        await self.world.places[act.who % 2].runs.signals.stop(self.world.session.id, self._some_run(act))

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
        await asyncio.sleep(0.04 * (act.much - 3 if act.much > 3 else 0))
        if act.who == 5:
            paused.crash()
        paused.store.thaw()

    async def _bereave(self, act: Act) -> None:
        """The sandbox is lost, with its volume or without, when its readers have more than is recorded; perhaps the
        gateway is, too, with what it held."""
        paused = await self._pause_recording(act)
        if act.who % 2:
            paused.crash()
        await self.world.sandbox.kill(torn=True, lost=act.much > 2)
        paused.store.thaw()

    async def _pause_recording(self, act: Act) -> Place:
        """Freeze the gateway that records what the agent says, in the middle of it; somebody reads it, too."""
        places = [self.world.places[(act.who + n) % 2] for n in (0, 1)]
        if act.who < 4:
            self.world.heal()
        if self.world.sandbox.active is None:
            await self._ask_soon(places[0])
        await self._soon(lambda: any(place.is_recording() for place in places))
        paused = next((place for place in places if place.is_recording()), places[0])
        for run in list(paused.runs.recorders):
            reader = self._read_run(run, Act("read", self.world.places.index(paused), 0))
            await self._soon(lambda reader=reader: bool(reader.history))  # type: ignore[misc]
        ends = act.what == "overtake" and act.much in (2, 3)
        if ends:  # and the next one's turn comes
            await self._ask_soon(places[0])
        paused.store.freeze(3 + act.who if ends else (2 * act.much + act.who) % 7)
        await self._say(act)
        if ends:
            await self._end(act)
        await self._soon(lambda: paused.store.held > 0)
        return paused

    async def _ask_soon(self, place: Place) -> None:
        """Send one prompt more; a gateway that is frozen has it for later."""
        self._words += 1
        message = f"s{self._words}"
        self._start(self._ask(place, message, OnBusy.QUEUE))
        await self._soon(lambda: message in self.admitted)

    async def _soon(self, condition: Callable[[], bool]) -> None:
        """Wait for what mostly comes; when it does not, something else is tested."""
        for _ in range(100):
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

    def _read_run(self, run: str, act: Act) -> Reader:
        base = act.who * act.much % 7
        slow, batch = act.much > 3, act.much % 2 == 0
        self.readers.append(Reader(self.world, run, base, at=act.who, batch=batch, slow=slow))
        return self.readers[-1]

    async def _leave(self, act: Act) -> None:
        for reader in self.readers[act.much % 2 :: 2]:
            reader.leave()
