"""The claude agent: Anthropic's agent SDK, connected before the first prompt and kept between prompts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

if __name__ == "__main__":
    # Until the event loop takes SIGINT over, it must not end the start; a handler, unlike SIG_IGN, is not inherited.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)

from claude_agent_sdk import ClaudeSDKClient, CLIConnectionError, Message

from container.agents.claude_connection import Connection, close
from container.agents.claude_frames import AnswerFrames
from container.agents.claude_session import Conversation
from container.agents.stdio import queries, send


class ClaudeAgent:
    """One SDK client, exchanged when a query needs other options; one answer at a time.

    The SDK raises bare Exceptions for what its program does not answer, and passes on whatever its reader met: each is
    an `error` frame, its client is disconnected, and the next query gets another. Only a stdout that nobody reads any
    more (BrokenPipeError) ends the agent.
    """

    def __init__(self, home: Path, cwd: Path, model: str | None) -> None:
        self._servers = home / ".vaporforge" / "mcp-servers.json"
        self._conversation = Conversation(home)
        self._default_model = model
        self._connection = Connection(str(cwd))
        self._client: ClaudeSDKClient | None = None
        self._pump: asyncio.Task[None] | None = None
        self._session = self._conversation.remembered()
        self._mode: Literal["bypassPermissions", "plan"] = "bypassPermissions"
        self._model = model
        self._frames: AnswerFrames | None = None
        self._total_cost = 0.0
        self._ended = asyncio.Event()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Answer the queries that come on stdin, until it ends."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._stop.set)
        with contextlib.suppress(Exception):  # it shows again, to a reader, at the first query
            await self._connect(self._connection, self._session)
        try:
            send({"type": "ready"})
            async for query in queries():
                self._stop.clear()
                await self._answer_or_stop(query)
                send({"type": "ready"})
        finally:
            await self._disconnect()

    async def _answer_or_stop(self, query: dict[str, Any]) -> None:
        answer = asyncio.create_task(self._answer(query))
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait([answer, stop], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            if self._frames is None or self._client is None:
                answer.cancel()
            else:
                await self._interrupt(self._client)
        stop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answer

    async def _interrupt(self, client: ClaudeSDKClient) -> None:
        try:
            await client.interrupt()
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is to end
            if self._client is client:
                self._end_answer(f"The agent's program could not be interrupted: {_reason(error)}")
                await self._disconnect()

    async def _answer(self, query: dict[str, Any]) -> None:
        try:
            client = await self._prepare(query)
            prompt_id = str(uuid.uuid4())
            self._ended.clear()
            self._frames = AnswerFrames(prompt_id, self._total_cost)
            if self._client is not client:
                raise CLIConnectionError("its program ended")
            await client.query(_prompt(query["prompt"], prompt_id))
            await self._ended.wait()
        except Exception as error:  # noqa: BLE001 - whatever it is, the query has no answer
            await self._disconnect()
            send(_error(f"The agent could not be started: {_reason(error)}", "agent-not-started"))
        finally:
            self._frames = None

    async def _prepare(self, query: dict[str, Any]) -> ClaudeSDKClient:
        """A client that is connected with what the query needs."""
        needed = Connection.of(query)
        session = query.get("sdkSessionId") or self._session
        client = self._client
        if client is None or needed != self._connection or session != self._session:
            await self._disconnect()
            try:
                client = await self._connect(needed, session)
            except Exception as error:
                lost = session and self._conversation.why_lost(session, needed.env, str(error))
                if not lost:
                    raise
                client = await self._connect(needed, None)
                send({"type": "session-reset", "reason": lost})
                self._conversation.remember(None)
        mode: Literal["bypassPermissions", "plan"] = (
            "plan" if query.get("mode") == "plan" else "bypassPermissions"
        )
        if mode != self._mode:
            await client.set_permission_mode(mode)
            self._mode = mode
        model = query.get("model") or self._default_model
        if model != self._model:
            await client.set_model(model)
            self._model = model
        return client

    async def _connect(self, connection: Connection, session: str | None) -> ClaudeSDKClient:
        client = await connection.open(session, self._default_model, self._servers)
        self._client, self._connection, self._session = client, connection, session
        self._mode, self._model = "bypassPermissions", self._default_model
        self._total_cost = 0.0  # each process of the SDK counts its own
        self._pump = asyncio.create_task(self._read(client))
        return client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        try:
            if self._pump is not None:
                if client is not None:  # else the pump is at its own end, and disconnects what it read from
                    self._pump.cancel()
                await asyncio.wait([self._pump])
                self._pump = None
        finally:
            if client is not None:
                await close(client)

    async def _read(self, client: ClaudeSDKClient) -> None:
        """Take every message as it comes, between answers too: one left unread would block those behind it."""
        failure = "The agent's program ended."
        try:
            async for message in client.receive_messages():
                self._take(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing more comes from this client
            failure = f"The agent's answer broke off: {_reason(error)}"
        if self._client is client:
            self._client = None
            self._end_answer(failure)
            await close(client)

    def _take(self, message: Message) -> None:
        if self._frames is None:
            return
        for frame in self._frames.of(message):
            if frame["type"] == "session-init":
                self._session = frame["sessionId"]
                self._conversation.remember(self._session)
            send(frame)
        if self._frames.is_finished:
            self._total_cost = self._frames.total_cost
            self._ended.set()
        elif self._frames.is_hopeless:
            self._stop.set()

    def _end_answer(self, failure: str) -> None:
        """Nothing more comes of the answer that is on, if one is."""
        if self._frames is not None and not self._frames.is_finished:
            with contextlib.suppress(OSError):  # who waits for the answer meets the same, and ends the agent
                send(_error(failure, "agent-failed"))
        self._ended.set()


async def _prompt(text: str, prompt_id: str) -> AsyncIterator[dict[str, Any]]:
    message = {"role": "user", "content": text}
    yield {
        "type": "user",
        "uuid": prompt_id,
        "message": message,
        "parent_tool_use_id": None,
        "session_id": "default",
    }


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _error(text: str, code: str) -> dict[str, Any]:
    return {"type": "error", "error": text, "code": code}


if __name__ == "__main__":
    workspace = Path(os.environ.get("VF_WORKSPACE") or "/workspace")
    with contextlib.suppress(BrokenPipeError):  # the agent server is gone, and nobody is left to be told
        asyncio.run(ClaudeAgent(Path.home(), workspace, os.environ.get("VF_MODEL") or None).run())
