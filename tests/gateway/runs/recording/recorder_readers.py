"""Readers of one session's runs, as a browser is one, and the evidence of what anybody was ever shown."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from container.protocol import seq_of
from gateway import errors
from gateway.runs.follower import Follower
from gateway.runs.sink import Progress, copy
from gateway.websocket.messages import Messages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.model import Run
    from tests.gateway.runs.recording.recorder_world import Place, World

MOMENT = 0.02


class Reader:
    """Reads a run from a cursor to its end, through as many gateways as it takes; it is the follower's sink too.

    `history`: the numbered frames behind `base`. `judged`: how many of them were found to be right. `restarts`: how
    often it was told to read again from the start.
    """

    def __init__(self, world: World, run: str, base: int, *, at: int, batch: bool, slow: bool) -> None:
        self.run = run
        self.base = base
        self.history: list[bytes] = []
        self.judged = 0
        self.restarts = 0
        self.ended = False
        self.batch = batch
        self._slow = slow
        self._world = world
        self._at = at
        self._leave = asyncio.Event()
        self.task = asyncio.create_task(self._read(), name=f"reader of {run}")

    @property
    def cursor(self) -> int:
        return self.base + len(self.history)

    def leave(self) -> None:
        """Hang up, and go on at the other gateway."""
        self._leave.set()

    async def send(self, message: bytes) -> None:
        """What the follower delivers."""
        for line in message.split(b"\n"):
            seq = seq_of(line)
            if seq is not None:
                if seq != self.cursor + 1:
                    self._world.wrongs.add(f"a reader of {self.run} at {self.cursor} was sent frame {seq}")
                self.history.append(line)
            self.ended = self.ended or json.loads(line)["type"] == "process-exit"
        if self._slow:
            await asyncio.sleep(MOMENT)

    def encoded(self, messages: Iterable[bytes]) -> bytes:
        """See Sink."""
        return b"\n".join(messages)

    async def write(self, data: bytes) -> None:
        """See Sink."""
        await self.send(data)

    async def pump(self, upstream: Messages, progress: Progress) -> None:
        """See Sink."""
        await copy(upstream, self, progress)

    async def _read(self) -> None:
        while not self.ended:
            place = self._world.places[self._at % 2]
            self._at += 1
            self._leave.clear()
            try:
                await self._read_at(place)
            except errors.CursorAhead:
                self.restarts += bool(self.history)
                self.base, self.history, self.judged = 0, [], 0
            except errors.Unavailable:
                await asyncio.sleep(MOMENT)

    async def _read_at(self, place: Place) -> None:
        """Follow until the end, this reader's leave, or the gateway's."""
        runs = place.runs
        follower = Follower(runs, self, self._world.session.id, self.run, self.cursor)

        async def follow() -> None:
            await follower.follow(await runs.run.ask((self._world.session.id, self.run)))
            if not self.ended:
                self._world.wrongs.add(f"a reader of {self.run} at {self.cursor} was left without an end")

        following = asyncio.create_task(follow())
        others = [asyncio.create_task(event.wait()) for event in (runs.drained, self._leave)]
        try:
            await asyncio.wait([following, *others], return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                await following
        finally:
            for task in (following, *others):
                task.cancel()
            await asyncio.gather(following, *others, return_exceptions=True)
            if follower.cursor != self.cursor:
                self._world.wrongs.add(f"a follower says {follower.cursor} of a reader at {self.cursor}")


class Evidence:
    """What the store and the readers have shown of the runs, held against what the sandbox has written."""

    def __init__(self, world: World) -> None:
        self.recorded: dict[str, list[bytes]] = {}
        self.runs: dict[str, Run] = {}
        self._shown: dict[tuple[str, int], bytes] = {}
        self._world = world

    async def read(self, name: str) -> None:
        """Read on in the store. A run as it was before is kept where it had ended."""
        observer, session = self._world.observer, self._world.session.id
        lines = self.recorded.setdefault(name, [])
        async for chunk in observer.read_frames(session, name, after=len(lines)):
            lines += chunk.split(b"\n")[:-1]
        assert [seq_of(line) for line in lines] == list(range(1, len(lines) + 1))
        run, before = await observer.get_run(session, name), self.runs.get(name)
        assert len(lines) <= run.recorded
        if before is not None:
            assert (run.generation, run.recorded) >= (before.generation, before.recorded)
            assert before == run or not before.state.final, f"{before} changed to {run}"
        self.runs[name] = run
        self._world.generations.note(run)

    def judge(self, readers: list[Reader]) -> None:
        """Nobody was shown what the sandbox has not written, nor two frames of one number."""
        sandbox = self._world.sandbox
        sandbox.look()
        for name, run in self.runs.items():
            lines = self.recorded[name]
            shared = _shared(run)
            for seq, line in enumerate(lines[:shared], 1):
                assert self._is_written(name, seq, line), f"recorded, never written: {line[:200]!r}"
                self._show(name, seq, line)
            self._judge_own(run, lines[shared:])
            assert not (run.own and run.state.final and sandbox.is_on(name)), (
                f"{run} was ended under its sandbox"
            )
        for reader in readers:
            for line in reader.history[reader.judged :]:
                seq = reader.base + reader.judged + 1
                if self._is_written(reader.run, seq, line):
                    self._show(reader.run, seq, line)
                elif not self._is_own(reader.run, seq, line):
                    break  # the store may have more by now than was read from it
                reader.judged += 1

    def judge_reader(self, reader: Reader) -> None:
        """At the end: it has the run from its cursor on, as the store has it. Where a gateway wrote the last frames, a
        reader that was done by then has the sandbox's in their place."""
        run, recorded = self.runs[reader.run], self.recorded[reader.run]
        whole = [recorded]
        if run.own:
            whole += [volume.get(run.id, []) for volume in self._world.sandbox.written]
        assert reader.judged == len(reader.history)
        assert reader.history in [lines[reader.base :] for lines in whole], (
            f"{run}: {reader.history} {recorded}"
        )
        common = min(run.shared - reader.base, len(reader.history))
        assert reader.history[: max(0, common)] == recorded[reader.base :][: max(0, common)]
        assert not reader.restarts or run.own, f"told to restart: {run}"

    def _judge_own(self, run: Run, lines: list[bytes]) -> None:
        kinds = [json.loads(line)["type"] for line in lines]
        assert set(kinds) <= {"run", "error", "sandbox-lost", "process-exit"}
        assert kinds.count("process-exit") == (kinds[-1:] == ["process-exit"])
        assert len(lines) <= run.recorded - _shared(run)

    def _is_written(self, run: str, seq: int, line: bytes) -> bool:
        return any(volume.get(run, [])[seq - 1 : seq] == [line] for volume in self._world.sandbox.written)

    def _is_own(self, run: str, seq: int, line: bytes) -> bool:
        known = self.runs.get(run)
        return known is not None and seq > _shared(known) and self.recorded[run][seq - 1 : seq] == [line]

    def _show(self, run: str, seq: int, line: bytes) -> None:
        before = self._shown.setdefault((run, seq), line)
        assert before == line, f"frame {seq} of run {run} was {before[:200]!r} and is {line[:200]!r}"


def _shared(run: Run) -> int:
    """How many of the recorded frames are the sandbox's. None of a run that was stopped in the queue are."""
    return run.shared if run.generation else 0
