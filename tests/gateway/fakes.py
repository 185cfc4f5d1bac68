"""Small stand-ins for what surrounds one run: a store in memory, a driver, an agent server's client, a reader."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

from container.protocol import encode, stamp
from gateway.concurrency.condition import Condition
from gateway.model import Mode, Run, RunState, Session
from gateway.runs.replays import Replays
from gateway.runs.sink import Progress, copy
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.store.keyring import CredentialKeys
from gateway.websocket import frames
from tests.gateway.stack import SECRET, settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from gateway.config import Settings
    from gateway.errors import VaporForgeError
    from gateway.websocket.connection import Connection

SESSION, RUN = "s1", "r1"


def a_run(state: RunState = RunState.PENDING, **changes: Any) -> Run:
    """A run whose lease is ours."""
    run = Run(
        id=RUN,
        session=SESSION,
        owner="ada",
        message="m1",
        state=state,
        mode=Mode.AGENT,
        cwd="/workspace",
        created_at=1.0,
        generation=1,
        lease_owner="g1",
        lease_until=1e12,
    )
    return replace(run, **changes)


def a_session(**changes: Any) -> Session:
    return replace(Session(id=SESSION, owner="ada", title="", created_at=1.0, updated_at=1.0), **changes)


def line(seq: int, kind: str = "text-delta", **fields: Any) -> bytes:
    """A frame of the run."""
    return stamp(encode({"type": kind, **fields}), RUN, seq)


def quick_settings(**changes: Any) -> Settings:
    # Of sandboxes that are apart from this machine: their runs need no seal.
    quick = {"driver": "docker", "start_seconds": 0.05, "lease_seconds": 0.06}
    return settings_for("", "none", **{**quick, **changes})


class FakeStore:
    """One run and its session. `away`: while it is set, nothing is answered but with that error."""

    def __init__(self, run: Run, frames: Iterable[bytes] = ()) -> None:
        self.run = run
        self.session = a_session(active_run=run.id)
        self.frames: list[bytes] = list(frames)
        self.away: VaporForgeError | None = None
        self.answers: list[Any] = []
        self.renewed_at: list[float] = []

    def _reach(self) -> None:
        if self.away is not None:
            raise self.away

    async def get_session(self, _session: str) -> Session:
        self._reach()
        return self.session

    async def get_settings(self, _owner: str) -> dict[str, Any]:
        self._reach()
        return {}

    async def credential_keys(self, *_names: str) -> CredentialKeys:
        self._reach()
        return CredentialKeys.of(SECRET)

    async def get_run(self, _session: str, _run: str) -> Run:
        self._reach()
        return self.run

    async def get_message(self, _session: str, _message: str) -> None:
        self._reach()

    async def renew_lease(self, _run: Run, *, lease_seconds: float, now: float) -> Run:
        self.renewed_at.append(now)
        self._reach()
        return self.run

    async def release_lease(self, _run: Run) -> None:
        self._reach()

    async def mark_running(self, _run: Run) -> Run:
        self._reach()
        self.run = replace(self.run, state=RunState.RUNNING)
        return self.run

    async def set_takeovers(self, _run: Run, count: int) -> Run:
        self._reach()
        self.run = replace(self.run, takeovers=count)
        return self.run

    async def use_session(self, _session: str) -> None:
        self._reach()
        self.session = replace(self.session, used_at=time.time())

    async def append_frames(
        self, _run: Run, *, first: int, last: int, frames: bytes, own: bool = False
    ) -> Run:
        self._reach()
        self.frames += frames.splitlines()
        assert len(self.frames) == last
        self.run = replace(self.run, recorded=last, own=last - first + 1 if own else 0, takeovers=0)
        return self.run

    async def finish_run(
        self, run: Run, *, state: RunState, reason: str, message: Any, **_: Any
    ) -> tuple[Run, None]:
        self._reach()
        self.answers.append(message)
        self.run = replace(self.run, state=state, reason=reason)
        return self.run, None

    async def request_stop(self, _session: str, _run: str) -> Run:
        self._reach()
        self.run = replace(self.run, stop_requested=True)
        return self.run

    async def read_frames(self, _session: str, _run: str, *, after: int = 0) -> AsyncIterator[bytes]:
        self._reach()
        for frame in self.frames[after:]:
            yield frame + b"\n"


class FakeDriver:
    """A sandbox that runs from `started_at` on. `broken`: raised by `stop`."""

    def __init__(self) -> None:
        self.started_at = 1.0
        self.stops = 0
        self.broken: VaporForgeError | None = None

    @property
    def sandbox(self) -> Sandbox:
        return Sandbox(
            session=SESSION,
            state=SandboxState.RUNNING,
            host="127.0.0.1",
            port=1,
            started_at=self.started_at,
        )

    async def ensure(self, _session: str) -> Sandbox:
        return self.sandbox

    async def status(self, _session: str) -> Sandbox:
        return self.sandbox

    async def list(self) -> list[Sandbox]:
        return [self.sandbox]

    async def stop(self, _session: str) -> None:
        self.stops += 1
        if self.broken is not None:
            raise self.broken


class FakeSocket:
    """A connection to an agent server that says `messages`, then ends with `close_code` (None: stays open)."""

    def __init__(self, messages: Iterable[bytes], close_code: int | None = 1000) -> None:
        self._messages = list(messages)
        self.close_code = close_code
        self._said = asyncio.Event()
        self.sent: list[Any] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    def say(self, message: bytes) -> None:
        """One message more."""
        self._messages.append(message)
        self._said.set()

    async def receive(self, seconds: float | None = None) -> bytes | None:
        if not self._messages and self.close_code is None:
            self._said.clear()
            async with asyncio.timeout(seconds):
                await self._said.wait()
        return self._messages.pop(0) if self._messages else None

    async def forward(self, to: Connection, note: Callable[[bytes], bool]) -> None:
        async for message in self:
            note(message)
            to.write(frames.frame(frames.Op.TEXT, message, masked=False))

    async def send_json(self, data: Any) -> None:
        self.sent.append(data)

    async def close(self, **_: Any) -> None:
        """There is nothing to close."""


class FakeAgent:
    """Each attaching takes the next of `upstreams` (an error is raised), the last one again and again."""

    def __init__(self, *upstreams: FakeSocket | VaporForgeError) -> None:
        self.upstreams = list(upstreams)
        self.signals: list[str] = []
        self.attached: list[int] = []
        self.unreachable: VaporForgeError | None = None

    async def put_pending(self, _sandbox: Sandbox, _run: str, _query: dict[str, Any]) -> None:
        """It is taken."""

    async def attach(self, _sandbox: Sandbox, _run: str, *, after: int, **_: Any) -> Any:
        self.attached.append(after)
        upstream = self.upstreams.pop(0) if len(self.upstreams) > 1 else self.upstreams[0]
        if isinstance(upstream, Exception):
            raise upstream
        return upstream

    async def signal(self, _sandbox: Sandbox, _run: str, action: str) -> None:
        self.signals.append(action)
        if self.unreachable is not None:
            raise self.unreachable


class FakeSink:
    """Keeps what it is sent."""

    def __init__(self, *, batch: bool = True) -> None:
        self.batch = batch
        self.messages: list[bytes] = []

    async def send(self, message: bytes) -> None:
        self.messages.append(message)

    write = send

    def encoded(self, messages: Iterable[bytes]) -> bytes:
        return b"\n".join(messages)

    async def pump(self, upstream: Any, progress: Progress) -> None:
        await copy(upstream, self, progress)


def fake_runs(store: FakeStore, agent: FakeAgent, driver: FakeDriver | None = None) -> Any:
    """What a follower or a leg asks of `RunService`."""
    driver = driver or FakeDriver()

    async def run(_names: object) -> Run:
        return await store.get_run(SESSION, RUN)

    return SimpleNamespace(
        store=store,
        agent=agent,
        driver=driver,
        recorders={},
        changed=Condition(),
        replays=Replays(store),  # type: ignore[arg-type]
        drained=asyncio.Event(),
        run=SimpleNamespace(ask=run),
        sandbox=SimpleNamespace(ask=driver.ensure),
    )


@asynccontextmanager
async def working(work: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """`work` beside the block; cancelled at its end."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Any, seconds: float = 30.0) -> None:
    """Wait for a condition that a few turns of the loop, or a short time, bring about."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
