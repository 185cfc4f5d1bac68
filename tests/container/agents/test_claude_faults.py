"""The claude agent when the SDK, its program or the disk fails: an `error` frame, and the next query is answered."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import ClaudeSDKError, Message, ResultMessage, SystemMessage

from container.agents import claude
from container.agents.claude import ClaudeAgent
from container.agents.claude_connection import Connection

SESSION = "11111111-1111-4111-8111-111111111111"
NOT_FOUND = f"No conversation found with session ID: {SESSION}"


def init(session: str = "new") -> Message:
    return SystemMessage(subtype="init", data={"session_id": session})


def result(cost: float = 0.0, text: str = "answer") -> Message:
    return ResultMessage(
        subtype="success",
        duration_ms=1,
        duration_api_ms=1,
        is_error=False,
        num_turns=1,
        session_id="new",
        total_cost_usd=cost,
        result=text,
    )


class FakeClient:
    """An SDK client whose messages, and exceptions in their place, the test puts in."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.is_connected = True
        self.inbox: asyncio.Queue[Message | Exception | None] = asyncio.Queue()

    async def query(self, prompt: AsyncIterator[dict[str, Any]]) -> None:
        async for _ in prompt:
            for said in self._world.script:
                self.inbox.put_nowait(said)

    async def receive_messages(self) -> AsyncIterator[Message]:
        while (said := await self.inbox.get()) is not None:
            if isinstance(said, Exception):
                raise said
            yield said

    async def interrupt(self) -> None:
        await self._world.control("interrupt")

    async def set_model(self, _model: str | None) -> None:
        await self._world.control("set_model")

    async def set_permission_mode(self, _mode: str) -> None:
        await self._world.control("set_permission_mode")

    async def disconnect(self) -> None:
        self.is_connected = False


class World:
    """What the agent meets. `script`: what follows each query; `refuse(session)`: why a connection fails, if it does;
    `broken`: the control requests that time out."""

    def __init__(self, tmp_path: Path) -> None:
        self.script: list[Message | Exception | None] = [init(), result()]
        self.refuse: Callable[[str | None], str | None] = lambda _session: None
        self.broken: set[str] = set()
        self.clients: list[FakeClient] = []
        self.resumed: list[str | None] = []
        self.sent: list[dict[str, Any]] = []
        self.is_deaf = False
        self.agent = ClaudeAgent(tmp_path, tmp_path, None)

    async def open(self, session: str | None) -> FakeClient:
        self.resumed.append(session)
        if (why := self.refuse(session)) is not None:
            raise Exception(why)  # noqa: TRY002 - as bare as the SDK's
        self.clients.append(FakeClient(self))
        return self.clients[-1]

    async def control(self, request: str) -> None:
        if request in self.broken:
            raise Exception(f"Control request timeout: {request}")  # noqa: TRY002 - as bare as the SDK's

    def send(self, frame: dict[str, Any]) -> None:
        if self.is_deaf:
            raise BrokenPipeError
        self.sent.append(frame)

    async def ask(self, cwd: Path, **query: Any) -> list[dict[str, Any]]:
        """The frames of one query."""
        del self.sent[:]
        await self.agent._answer_or_stop({"prompt": "hi", "cwd": str(cwd), **query})
        return list(self.sent)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    world = World(tmp_path)

    async def opened(_self: Connection, session: str | None, _model: str | None, _file: Path) -> FakeClient:
        return await world.open(session)

    monkeypatch.setattr(Connection, "open", opened)
    monkeypatch.setattr(claude, "send", world.send)
    yield world
    await world.agent._disconnect()
    assert not any(client.is_connected for client in world.clients)


def types(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["type"] for frame in frames]


@pytest.mark.parametrize(
    "error",
    [
        ClaudeSDKError("odd"),
        TypeError("sequence item 0: expected str instance, int found"),
        Exception("Claude Code died"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
async def test_whatever_breaks_an_answer_is_an_error_and_the_next_is_answered(
    world: World, tmp_path: Path, error: Exception
) -> None:
    world.script = [init(), error]
    frames = await world.ask(tmp_path)
    assert types(frames) == ["session-init", "error"]
    assert frames[-1]["code"] == "agent-failed"
    assert str(error) in frames[-1]["error"]
    world.script = [init(), result()]
    assert types(await world.ask(tmp_path)) == ["session-init", "text-delta", "done"]
    assert [client.is_connected for client in world.clients] == [False, True]


async def test_a_program_that_ends_is_an_error(world: World, tmp_path: Path) -> None:
    world.script = [init(), None]
    assert (await world.ask(tmp_path))[-1]["error"] == "The agent's program ended."


async def test_a_session_that_cannot_be_kept_is_answered_all_the_same(world: World, tmp_path: Path) -> None:
    (tmp_path / ".vaporforge").write_text("a file where the folder should be")
    assert types(await world.ask(tmp_path)) == ["session-init", "text-delta", "done"]


async def test_when_nobody_reads_any_more_the_agent_ends(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def queries() -> AsyncIterator[dict[str, Any]]:
        world.is_deaf = True
        yield {"prompt": "hi", "cwd": str(tmp_path)}
        await asyncio.Event().wait()  # stdin stays open

    monkeypatch.setattr(claude, "queries", queries)
    with pytest.raises(BrokenPipeError):
        await world.agent.run()
    assert [client.is_connected for client in world.clients] == [False]


def transcript(home: Path) -> None:
    folder = home / ".claude" / "projects" / "-workspace"
    folder.mkdir(parents=True)
    (folder / f"{SESSION}.jsonl").write_text("{}")


async def test_a_start_that_fails_for_another_reason_keeps_the_conversation(
    world: World, tmp_path: Path
) -> None:
    transcript(tmp_path)
    world.agent._conversation.remember(SESSION)
    world.refuse = lambda _session: "Control request timeout: initialize"
    frames = await world.ask(tmp_path, sdkSessionId=SESSION)
    assert types(frames) == ["error"]
    assert frames[0]["code"] == "agent-not-started"
    assert "Control request timeout: initialize" in frames[0]["error"]
    assert world.resumed == [SESSION]
    world.refuse = lambda _session: None
    assert "session-reset" not in types(await world.ask(tmp_path, sdkSessionId=SESSION))
    assert world.resumed == [SESSION, SESSION]


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_conversation_that_is_not_there_begins_anew_and_says_why(
    world: World, tmp_path: Path, elsewhere: bool
) -> None:
    if elsewhere:
        transcript(tmp_path)
    world.refuse = lambda session: session and NOT_FOUND
    frames = await world.ask(tmp_path, sdkSessionId=SESSION)
    assert types(frames) == ["session-reset", "session-init", "text-delta", "done"]
    assert ("another folder" if elsewhere else "is gone") in frames[0]["reason"]
    assert world.resumed == [SESSION, None]
    assert world.agent._conversation.remembered() == "new"


async def test_it_is_not_forgotten_before_another_has_begun(world: World, tmp_path: Path) -> None:
    world.agent._conversation.remember(SESSION)
    world.refuse = lambda session: NOT_FOUND if session else "Claude Code not found"
    frames = await world.ask(tmp_path, sdkSessionId=SESSION)
    assert types(frames) == ["error"]
    assert world.agent._conversation.remembered() == SESSION


@pytest.mark.parametrize(
    ("request_name", "query"), [("set_model", {"model": "opus"}), ("set_permission_mode", {"mode": "plan"})]
)
async def test_a_control_request_without_an_answer_is_an_error(
    world: World, tmp_path: Path, request_name: str, query: dict[str, Any]
) -> None:
    world.broken = {request_name}
    frames = await world.ask(tmp_path, **query)
    assert types(frames) == ["error"]
    assert request_name in frames[0]["error"]
    world.broken = set()
    assert types(await world.ask(tmp_path, **query))[-1] == "done"


async def test_an_interrupt_without_an_answer_ends_the_answer(world: World, tmp_path: Path) -> None:
    world.script = [init()]
    world.broken = {"interrupt"}
    asking = asyncio.create_task(world.ask(tmp_path))
    while not world.sent:
        await asyncio.sleep(0.01)
    world.agent._stop.set()
    frames = await asking
    assert types(frames) == ["session-init", "error"]
    assert "could not be interrupted" in frames[-1]["error"]
    world.agent._stop.clear()
    world.script = [init(), result()]
    assert types(await world.ask(tmp_path))[-1] == "done"


async def test_each_program_counts_its_own_cost(world: World, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    costs = []
    for cwd, total in ((tmp_path, 1.0), (tmp_path, 3.0), (tmp_path / "sub", 5.0)):
        world.script = [init(), result(total)]
        costs.append((await world.ask(cwd, env={"A": os.fspath(cwd)}))[-1]["costUsd"])
    assert costs == [1.0, 2.0, 5.0]
