"""What encrypting costs the store: the same writes and reads with it and without, turn by turn on one table each."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from container.protocol import encode, stamp
from gateway.config import Settings
from gateway.ids import new_id
from gateway.model import Message, Mode, NewRun, OnBusy, Run, Session
from gateway.store.dynamo import DynamoStore
from tests.bench.processes import SECRET

ENCRYPTED: Final = "encrypted"
PLAIN: Final = "plain"

FRAMES: Final = {"a quarter second of text (10 frames)": (10, 60), "a full flush (64 KB)": (200, 300)}
"""By name: frames of an append, and characters in each."""

OPERATIONS: Final = 40
"""Of each kind in a turn."""

Figures = dict[str, dict[str, list[float]]]
"""By operation, by way: µs of processor of one, one figure for each turn; and the same in all by the clock."""


@asynccontextmanager
async def stores(endpoint: str) -> AsyncIterator[dict[str, DynamoStore]]:
    """One that encrypts and one that does not."""
    made = {name: DynamoStore(_settings(endpoint, name)) for name in (ENCRYPTED, PLAIN)}
    for store in made.values():
        await store.open()
    try:
        yield made
    finally:
        for store in made.values():
            await store.close()


async def measure(endpoint: str, turns: int) -> tuple[Figures, Figures]:
    """Processor and clock, µs an operation."""
    processor: Figures = defaultdict(lambda: defaultdict(list))
    clock: Figures = defaultdict(lambda: defaultdict(list))
    async with stores(endpoint) as both:
        for turn in range(turns + 1):
            for way in (ENCRYPTED, PLAIN) if turn % 2 else (PLAIN, ENCRYPTED):
                async for operation, cpu, wall in _turn(both[way]):
                    if turn:  # the first one is for warming up
                        processor[operation][way].append(cpu)
                        clock[operation][way].append(wall)
    return processor, clock


def _settings(endpoint: str, way: str) -> Settings:
    return Settings(
        stack="bench",
        jwt_secret=SECRET,
        sandbox_secret=SECRET,
        credential_key=SECRET,
        table=f"bench-store-{way}",
        table_create=True,
        dynamodb_endpoint=endpoint,
        encrypt=way == ENCRYPTED,
    )


async def _turn(store: DynamoStore) -> AsyncIterator[tuple[str, float, float]]:
    session, now = new_id(), time.time()
    await store.create_session(Session(id=session, owner="bench", title="", created_at=now, updated_at=now))
    new = NewRun(
        id=new_id(),
        session=session,
        owner="bench",
        message=new_id(),
        prompt="hello",
        mode=Mode.AGENT,
        cwd="",
        created_at=now,
    )
    run = (
        await store.create_run(new, on_busy=OnBusy.QUEUE, queue_limit=8, gateway="bench", lease_seconds=3600)
    ).run
    for name, (count, chars) in FRAMES.items():

        async def append(count: int = count, chars: int = chars) -> None:
            nonlocal run
            run = await _append(store, run, count, chars)

        yield f"append: {name}", *await _timed(append)

    async def put() -> None:
        message = Message(id=new_id(), session=session, role="user", content=_text(2_000), created_at=now)
        await store.put_message(message)

    yield "put a message of 2 KB", *await _timed(put)

    async def page() -> None:
        await store.list_messages(session, limit=20, newest=True)

    yield "read 20 messages", *await _timed(page)

    async def replay() -> None:
        async for _ in store.read_frames(session, run.id):
            pass

    yield "replay the run (8,400 frames)", *await _timed(replay, 2)


async def _append(store: DynamoStore, run: Run, count: int, chars: int) -> Run:
    line = encode({"type": "text-delta", "text": _text(chars)})
    first, last = run.recorded + 1, run.recorded + count
    frames = b"".join(stamp(line, run.id, seq) + b"\n" for seq in range(first, last + 1))
    appended = await store.append_frames(run, first=first, last=last, frames=frames)
    assert appended is not None
    return appended


async def _timed(work: Callable[[], Awaitable[None]], times: int = OPERATIONS) -> tuple[float, float]:
    """µs of this process's processor, and by the clock, that one takes."""
    began, used = time.perf_counter(), time.process_time()
    for _ in range(times):
        await work()
    return (time.process_time() - used) / times * 1e6, (time.perf_counter() - began) / times * 1e6


def _text(chars: int) -> str:
    return ("The upgrade handshake is an ordinary request that both sides agree to leave behind. " * 40)[
        :chars
    ]
