"""Sandboxes as containers, seen by readers and in the page: out of memory in mid-answer, walked away from, deleted."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from docker.errors import APIError
from playwright.async_api import expect

from container.protocol import Close
from tests.chaos.waiting import until
from tests.e2e.conftest import FLAGS
from tests.e2e.containers import Bench, ContainerStack
from tests.e2e.people import PATIENCE_MS, Person
from tests.e2e.wire import recorded
from tests.gateway.sandboxes.drivers.docker_bench import agent_image
from tests.gateway.stack import assert_whole, numbered, read_all, read_until, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from playwright.async_api import Browser

    from tests.e2e.people import People

__all__ = ["agent_image"]

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

SECONDS = 150.0
CREATE = "Create a file called kept.txt in /workspace with 'written before'"
ENDLESS = "count to 100000 every 20 ms"
LONG = "Count to 400 every 30 ms"
COUNTED = " ".join(str(number) for number in range(1, 401))


@pytest_asyncio.fixture(loop_scope="session")
async def bench(agent_image: str) -> AsyncIterator[Bench]:
    async with Bench(agent_image) as bench:
        yield bench


@pytest_asyncio.fixture(loop_scope="session")
async def stack(
    bench: Bench, dynamodb_endpoint: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[ContainerStack]:
    """Two gateways; a test's parameter says after how many minutes they reap."""
    idle = float(getattr(request, "param", 15))
    launcher = await bench.launcher()
    async with ContainerStack(dynamodb_endpoint, bench, launcher, tmp_path, idle_minutes=idle) as stack:
        await stack.add()
        yield stack


async def contents(stack: ContainerStack, session: str) -> list[str]:
    """The texts of a session's messages, oldest first."""
    messages = (await stack.get(f"/api/sessions/{session}/messages", gateway=1))["messages"]
    return [message["content"] for message in messages]


# -- out of memory ----------------------------------------------------------------------------------------------------

SERVER_FIRST = "read server </proc/1/task/1/children; echo 1000 >/proc/$server/oom_score_adj"
EAT = "while :; do cat /dev/zero >>/tmp/fill; done"
"""What a tmpfs holds is its sandbox's memory, whoever wrote it: at the limit the kernel ends processes. The server
is the first to go here, as it is where it is the largest; else chance would choose the victim."""


async def test_a_sandbox_out_of_memory_in_mid_answer_is_told_and_its_session_goes_on(
    stack: ContainerStack, bench: Bench
) -> None:
    session = await stack.session()
    created = await stack.ask(session, CREATE)
    assert_whole(created)
    before = (await bench.inspect(session))["Id"]
    async with stack.connect(session, prompt=ENDLESS) as socket:
        head = await read_until(socket, "text-delta", 5)
        assert await bench.run(session, "sh", "-c", SERVER_FIRST, user="0") == (0, "")
        eating = asyncio.create_task(bench.run(session, "sh", "-c", EAT))
        frames = head + await read_all(socket)
        assert socket.close_code == Close.OK
    await asyncio.gather(eating, return_exceptions=True)  # its container ended under it

    # The reader was told why, and that this is the end; nothing is missing before it.
    assert_whole(frames, "lost")
    lost, ended = numbered(frames)[-2:]
    assert (lost["type"], lost["reason"]) == ("sandbox-lost", "oom")
    assert (ended["type"], ended["exitCode"]) == ("process-exit", None)

    # The store says the same, and the text so far is kept.
    assert await stack.final(session, ended["run"], SECONDS) == "lost"
    text = text_of(frames)
    assert text.startswith("1 2 3 4 5 ")
    assert await contents(stack, session) == [CREATE, text_of(created), ENDLESS, text]
    async with stack.connect(session, gateway=1, run=ended["run"]) as socket:
        assert numbered(await read_all(socket)) == numbered(frames)

    # The next prompt has a new sandbox with the same files, and the agent remembers.
    assert "We have talked 2 times before" in text_of(await stack.ask(session, "Hello", gateway=1))
    assert "written before" in text_of(await stack.ask(session, "Read the file kept.txt"))
    assert (await bench.inspect(session))["Id"] != before


# -- walking away -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack", [0.05], indirect=True, ids=["reaping after three seconds"])
async def test_who_closes_the_browser_finds_the_whole_answer_and_the_file_after_the_sandbox_was_reaped(
    stack: ContainerStack, bench: Bench, browser: Browser, people: People
) -> None:
    first = await browser.browser_type.launch(executable_path=shutil.which("chromium"), args=FLAGS)
    try:
        ada = Person(await first.new_page(), stack.url, PATIENCE_MS)
        await ada.open()
        await ada.ask(CREATE)
        session = ada.session
        await ada.say(LONG)
        await expect(ada.prose).to_contain_text(" 20 ")
    finally:
        await first.close()
    assert not ada.complaints
    run = (await stack.get(f"/api/sessions/{session}"))["activeRun"]
    assert run, "the answer was over before the browser was closed"
    before = (await bench.inspect(session))["Id"]

    assert await stack.final(session, run, SECONDS) == "completed"
    while await bench.alive(session):
        await asyncio.sleep(0.1)
    assert stack.snapshots() == [session]

    # Another browser: all is there, and looking woke nothing.
    ada = await people.person()
    await ada.open(f"/#/s/{session}")
    await expect(ada.prompts).to_have_count(2)
    await expect(ada.answers).to_have_count(2)
    await expect(ada.prose).to_have_text(COUNTED)
    await ada.rest()
    frames = await recorded(ada)
    assert_whole(frames)
    assert await ada.prose.inner_text() == text_of(frames).strip()
    await expect(ada.answers.first.get_by_test_id("tool-card")).to_contain_text("File created successfully")
    assert (await contents(stack, session))[2:] == [LONG, f"{COUNTED} "]
    assert await bench.alive(session) == 0

    # The next prompt wakes a sandbox, and the file is in it.
    assert "written before" in await ada.ask("Read the file kept.txt")
    woken = (await bench.inspect(session))["Id"]
    assert woken != before


# -- deletion ---------------------------------------------------------------------------------------------------------


class Scene:
    """Brings sessions into the states that they are deleted from, with readers who stay."""

    def __init__(self, stack: ContainerStack, bench: Bench, ends: AsyncExitStack) -> None:
        self.stack = stack
        self.bench = bench
        self.readers: list[tuple[str, asyncio.Task[tuple[str, int]]]] = []
        """Their sessions, and what they are told at last."""
        self._ends = ends

    async def read(self, session: str, kind: str, count: int = 1, gateway: int = 0, **query: str) -> str:
        """Somebody reads until `count` frames of the type `kind` came, and goes on; the run."""
        connecting = self.stack.connect(session, gateway=gateway, **query)
        socket = await self._ends.enter_async_context(connecting)
        run = next(str(frame["run"]) for frame in await read_until(socket, kind, count) if "run" in frame)
        self.readers.append((session, asyncio.create_task(self._end(session, run, socket))))
        return run

    async def _end(
        self, session: str, run: str, socket: aiohttp.ClientWebSocketResponse[Any]
    ) -> tuple[str, int]:
        """The code and close code, or status, that end it for good; as every client does, ask again behind others."""
        while True:
            ends = [frame for frame in await read_all(socket) if frame["type"] in ("error", "process-exit")]
            if socket.close_code not in COME_BACK:
                assert socket.close_code is not None
                assert ends, f"nothing was said before {socket.close_code}"
                return str(ends[-1].get("code", ends[-1].get("reason"))), socket.close_code
            try:
                socket = await self._ends.enter_async_context(self.stack.connect(session, run=run))
            except aiohttp.WSServerHandshakeError as refused:
                return "refused", refused.status

    async def signal_server(self, session: str, name: str) -> None:
        """A signal to the agent server."""
        code, output = await self.bench.run(
            session, "sh", "-c", f"kill -{name} $(cat /proc/1/task/1/children)", user="0"
        )
        assert code == 0, output


async def idle(scene: Scene, session: str) -> None:
    """Its sandbox runs and has nothing to do."""
    assert_whole(await scene.stack.ask(session, CREATE))


async def starting(scene: Scene, session: str) -> None:
    """A prompt was taken just now."""
    await scene.read(session, "timing", prompt=ENDLESS)


async def streaming(scene: Scene, session: str) -> None:
    """Two people read an answer."""
    run = await scene.read(session, "text-delta", 3, prompt=ENDLESS)
    await scene.read(session, "text-delta", gateway=1, run=run)


async def queued(scene: Scene, session: str) -> None:
    """A prompt waits behind an answer."""
    await scene.read(session, "text-delta", prompt=ENDLESS)
    await scene.read(session, "status", prompt="echo later")
    assert len((await scene.stack.get(f"/api/sessions/{session}"))["queue"]) == 1


async def asleep(scene: Scene, session: str) -> None:
    """Its sandbox was reaped, with a snapshot."""
    await idle(scene, session)
    reaper = scene.stack.gateways[0].reaper()
    async with asyncio.timeout(SECONDS):
        while await scene.bench.alive(session):
            await reaper.reap()
    assert session in scene.stack.snapshots()


async def agent_paused(scene: Scene, session: str) -> None:
    """The agent was paused in mid-answer (SIGSTOP)."""
    run = await scene.read(session, "text-delta", prompt=ENDLESS)
    status, body = await scene.stack.post("/api/sdk/pause", {"sessionId": session, "run": run})
    assert status == 200, body


async def server_halted(scene: Scene, session: str) -> None:
    """The agent server is halted in mid-answer (SIGSTOP)."""
    await streaming(scene, session)
    await scene.signal_server(session, "STOP")


async def container_paused(scene: Scene, session: str) -> None:
    """The whole container is frozen in mid-answer (`docker pause`)."""
    await streaming(scene, session)
    async with asyncio.timeout(SECONDS):
        while (await scene.bench.inspect(session))["State"]["Status"] != "paused":
            with contextlib.suppress(
                APIError
            ):  # on a busy machine the kernel may not get everything to stand still
                await scene.bench.engine(scene.bench.api.pause, scene.bench.name(session))


async def dead(scene: Scene, session: str) -> None:
    """Its container has died, and nobody has looked since."""
    await idle(scene, session)
    await scene.bench.kill(session)


STATES: list[Callable[[Scene, str], Awaitable[None]]] = [
    idle, starting, streaming, queued, agent_paused, server_halted, container_paused, dead
]  # fmt: skip

GONE = {
    ("session-not-found", Close.NOT_FOUND),
    ("run-not-found", Close.NOT_FOUND),
    ("session-gone", Close.GONE),
    ("lost", Close.OK),
    ("refused", 404),
    ("refused", 410),
}
"""What ends a deleted session's readers: an `error` with its close code, `process-exit`, or a refused handshake."""

COME_BACK = {1001, 1006, 1011, 1012, 1013}
"""Close codes upon which a client connects again (docs/protocol.md)."""


@pytest.mark.parametrize("stack", [1], indirect=True, ids=["a look every six seconds"])
async def test_sessions_deleted_from_any_state_leave_nothing_and_their_readers_are_told(
    stack: ContainerStack, bench: Bench
) -> None:
    """All states side by side: what is said of a session names its state."""
    async with AsyncExitStack() as ends:
        scene = Scene(stack, bench, ends)
        states = {await stack.session(): "asleep"}
        await asleep(scene, next(iter(states)))
        for state in STATES:
            states[await stack.session()] = str(getattr(state, "__name__", state))
        begun = zip(STATES, list(states)[1:], strict=True)
        await asyncio.gather(*(state(scene, session) for state, session in begun))

        for session, state_of_it in states.items():
            url = f"{stack.gateways[1].url}/api/sessions/{session}"
            async with stack.http.delete(url, headers=stack.headers()) as response:
                assert response.status == 204, (state_of_it, await response.text())
        async with asyncio.timeout(SECONDS):
            told = [(states[session], await reader) for session, reader in scene.readers]
        assert len(told) == 10
        assert [(state, end) for state, end in told if end not in GONE] == []

    # What the other gateway was doing ends within its lease; what it woke meanwhile its reaper takes away.
    with contextlib.suppress(TimeoutError):  # what is left is told below
        await until(
            lambda: not stack.leftovers(), SECONDS, "the end of all that was the sessions'", pause=0.5
        )
    await asyncio.sleep(2 * stack.settings.lease_seconds)
    assert stack.leftovers() == [], states
