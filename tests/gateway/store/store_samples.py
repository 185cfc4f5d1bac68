"""Samples and shorthands for tests of the store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from container.protocol import encode, stamp
from gateway.ids import new_id
from gateway.model import Admission, Message, Mode, NewRun, OnBusy, Run, RunState, Session

if TYPE_CHECKING:
    from gateway.store import Store

EPOCH = 1_800_000_000.0
LEASE = 10.0


def session(name: str, *, owner: str = "alice", title: str = "A chat", created_at: float = EPOCH) -> Session:
    return Session(id=name, owner=owner, title=title, created_at=created_at, updated_at=created_at)


def message(
    session_id: str, name: str, *, content: str = "hello", created_at: float = EPOCH, **more: Any
) -> Message:
    return Message(id=name, session=session_id, role="user", content=content, created_at=created_at, **more)


def new_run(session_id: str, message_id: str, *, text: str = "hello", created_at: float = EPOCH) -> NewRun:
    return NewRun(
        id=new_id(),
        session=session_id,
        owner="alice",
        message=message_id,
        prompt=text,
        mode=Mode.AGENT,
        cwd="/workspace",
        created_at=created_at,
    )


async def admit(
    store: Store,
    session_id: str,
    message_id: str,
    *,
    prompt: str = "hello",
    on_busy: OnBusy = OnBusy.QUEUE,
    queue_limit: int = 8,
    gateway: str = "g1",
) -> Admission:
    """A prompt to the session."""
    new = new_run(session_id, message_id, text=prompt)
    return await store.create_run(
        new, on_busy=on_busy, queue_limit=queue_limit, gateway=gateway, lease_seconds=LEASE
    )


async def finish(
    store: Store,
    run: Run,
    *,
    state: RunState = RunState.STOPPED,
    answer: Message | None = None,
    gateway: str = "g1",
) -> tuple[Run, Run | None] | None:
    """The run's end."""
    return await store.finish_run(
        run, state=state, reason=state.value, message=answer, gateway=gateway, lease_seconds=LEASE
    )


def frames(run: str, first: int, last: int, *, text: str = "word") -> bytes:
    """Frames `first..last` of a run as the agent server writes them."""
    line = encode({"type": "text-delta", "text": text})
    return b"".join(stamp(line, run, seq) + b"\n" for seq in range(first, last + 1))


async def read(store: Store, run: Run, *, after: int = 0) -> bytes:
    """What is recorded of a run behind `after`."""
    return b"".join([chunk async for chunk in store.read_frames(run.session, run.id, after=after)])


def numbered(chunk: bytes) -> list[int]:
    """The seq of every frame."""
    return [int(found) for found in re.findall(rb'"seq":(\d+)}\n', chunk)]
