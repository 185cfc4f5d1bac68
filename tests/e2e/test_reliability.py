"""Walking away from a long answer and coming back; and deleting a session from every state, so that nothing is left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from gateway.ids import new_id
from gateway.sandboxes.drivers import SandboxState
from gateway.sandboxes.drivers.process import ProcessDriver
from tests.chaos.sandboxes import Sandboxes
from tests.chaos.waiting import until
from tests.e2e.leftovers import items
from tests.gateway.stack import Stack, assert_whole, numbered, read_all, read_until, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SECONDS = 90.0
LONG = "count to 400 every 10 ms"
ENDLESS = "count to 100000 every 20 ms"


@pytest_asyncio.fixture(loop_scope="session")
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """Two gateways that reap sandboxes after a second and a bit, and keep snapshots of them."""
    root, blobs = tmp_path / "sandboxes", tmp_path / "blobs"
    blobs.mkdir()
    changes: dict[str, Any] = {"idle_minutes": 0.02, "blobs": f"folder:{blobs}"}
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", root, **changes) as stack:
        await stack.add()
        yield stack


async def test_who_walks_away_from_a_long_answer_finds_all_of_it_after_the_sandbox_is_gone(
    stack: Stack,
) -> None:
    session = await stack.session()
    async with stack.connect(session, prompt=LONG) as socket:
        head = numbered(await read_until(socket, "text-delta", 10))
    run = head[0]["run"]
    assert await stack.final(session, run, SECONDS) == "completed"
    await reaped(stack, session)
    history = (await stack.get(f"/api/sessions/{session}/messages", gateway=1))["messages"]
    expected = "".join(f"{number} " for number in range(1, 401))
    assert [message["content"] for message in history] == [LONG, expected]
    async with stack.connect(session, gateway=1, run=run, after=head[-1]["seq"]) as socket:
        frames = head + numbered(await read_all(socket))
    assert_whole(frames)
    assert text_of(frames) == expected
    assert (await driver_of(stack).status(session)).state is SandboxState.STOPPED  # reading woke nothing
    assert_whole(await stack.ask(session, "echo awake again", gateway=1))


async def never_used(stack: Stack, session: str) -> None:
    """No run at all."""


async def completed(stack: Stack, session: str) -> None:
    """A run that has ended, its sandbox idle."""
    assert_whole(await stack.ask(session, "echo done"))


async def pending(stack: Stack, session: str) -> None:
    """A run that was admitted just now; its sandbox may be starting."""
    async with stack.connect(session, prompt=ENDLESS) as socket:
        await socket.receive(30)


async def running(stack: Stack, session: str) -> str:
    """A run in the middle of its answer."""
    async with stack.connect(session, prompt=ENDLESS) as socket:
        return str((await read_until(socket, "text-delta", 5))[-1]["run"])


async def queued(stack: Stack, session: str) -> None:
    """Another two prompts wait behind one."""
    await running(stack, session)
    for message in ("second", "third"):
        async with stack.connect(session, prompt=f"echo {message}") as socket:
            await read_until(socket, "status")
    assert len((await stack.get(f"/api/sessions/{session}"))["queue"]) == 2


async def paused(stack: Stack, session: str) -> None:
    """A run whose agent is frozen."""
    run = await running(stack, session)
    status, body = await stack.post("/api/sdk/pause", {"sessionId": session, "run": run})
    assert status == 200, body


async def stopped(stack: Stack, session: str) -> None:
    """A run that was stopped."""
    run = await running(stack, session)
    await stack.post("/api/sdk/stop", {"sessionId": session, "run": run})
    assert await stack.final(session, run, SECONDS) == "stopped"


async def lost(stack: Stack, session: str) -> None:
    """A run whose sandbox was stopped under it."""
    run = await running(stack, session)
    await driver_of(stack).stop(session)
    assert await stack.final(session, run, SECONDS) == "lost"


async def gateway_dead(stack: Stack, session: str) -> None:
    """A run whose gateway died a moment ago: its lease has not run out."""
    await running(stack, session)
    stack.gateways[0].crash()


async def asleep(stack: Stack, session: str) -> None:
    """The sandbox was reaped, and a snapshot of it is kept."""
    await completed(stack, session)
    await reaped(stack, session)


async def awake_again(stack: Stack, session: str) -> None:
    """Reaped, and woken by another prompt which is on."""
    await asleep(stack, session)
    await running(stack, session)


STATES: list[Callable[[Stack, str], Awaitable[object]]] = [
    never_used, completed, pending, running, queued, paused, stopped, lost, gateway_dead, asleep, awake_again
]  # fmt: skip


@pytest.mark.parametrize("state", STATES, ids=lambda state: str(state.__name__))
async def test_a_deleted_session_leaves_nothing(
    stack: Stack, tmp_path: Path, state: Callable[[Stack, str], Awaitable[object]]
) -> None:
    session = await stack.session()
    await state(stack, session)
    url = f"{stack.gateways[1].url}/api/sessions/{session}"
    async with stack.http.delete(url, headers=stack.headers()) as response:
        assert response.status == 204, await response.text()
    # What another gateway was doing for the session ends within its lease.
    await until(lambda: not leftovers(stack, tmp_path), SECONDS, "the end of all that was the session's")
    await asyncio.sleep(2 * stack.settings.lease_seconds)
    assert leftovers(stack, tmp_path) == [], "something came back"


def leftovers(stack: Stack, folder: Path) -> list[str]:
    """Items of the table, folders, locks, blobs and processes: everything that a session can leave."""
    return [
        *items(stack.settings),
        *(f"folder {path.name}" for path in stack.root.iterdir() if path.name != ".locks"),
        *(f"lock {path.name}" for path in (stack.root / ".locks").glob("*")),
        *(f"blob {path.name}" for path in (folder / "blobs").rglob("*") if path.is_file()),
        *(f"process {pid}" for pid in Sandboxes(stack.root).processes()),
    ]


def driver_of(stack: Stack) -> ProcessDriver:
    """A driver that sees the same sandboxes as the gateways."""
    return ProcessDriver(stack.settings, stack.root)


async def reaped(stack: Stack, session: str) -> None:
    """Wait until the sandbox has been ended because nobody used it."""
    sandboxes = Sandboxes(stack.root)
    await until(lambda: not sandboxes.pid(session), SECONDS, f"the reaping of {session}")
