"""The claude agent: Anthropic's agent SDK, connected before the first prompt and kept between prompts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

# Until the event loop takes SIGINT over, it must not end the start; a handler, unlike SIG_IGN, is not inherited.
signal.signal(signal.SIGINT, lambda _number, _frame: None)

from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, ClaudeSDKError  # noqa: E402

from container.agents.claude_frames import AnswerFrames  # noqa: E402
from container.agents.stdio import queries, send  # noqa: E402
from container.mcp_relay import server_config  # noqa: E402
from container.protocol import MAX_LINE_BYTES  # noqa: E402

SANDBOX_ENV: Final = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "IS_SANDBOX": "1",  # the sandbox is the boundary: the agent asks nobody before it uses a tool
}


@dataclass(frozen=True, slots=True)
class Connection:
    """What a connected client cannot change; a query that needs another is answered by a new client."""

    cwd: str
    env: dict[str, str] = field(default_factory=dict)
    mcp_servers: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, query: dict[str, Any]) -> Connection:
        """What `query` needs; a variable that the agent has anyway needs nothing."""
        env = {
            name: value for name, value in (query.get("env") or {}).items() if os.environ.get(name) != value
        }
        return cls(query["cwd"], env, query.get("mcpServers") or {})


class ClaudeAgent:
    """One SDK client, exchanged when a query needs other options; one answer at a time."""

    def __init__(self, home: Path, cwd: Path, model: str | None) -> None:
        self._state = home / ".vaporforge"
        self._default_model = model
        self._connection = Connection(str(cwd))
        self._client: ClaudeSDKClient | None = None
        self._pump: asyncio.Task[None] | None = None
        self._session = self._remembered()
        self._mode: Literal["bypassPermissions", "plan"] = "bypassPermissions"
        self._model = model
        self._frames: AnswerFrames | None = None
        self._total_cost = 0.0
        self._ended = asyncio.Event()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Answer the queries that come on stdin, until it ends."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._stop.set)
        with contextlib.suppress(ClaudeSDKError, OSError):  # it shows again, to a reader, at the first query
            await self._connect(self._connection, self._session)
        send({"type": "ready"})
        async for query in queries():
            self._stop.clear()
            await self._answer_or_stop(query)
            send({"type": "ready"})
        await self._disconnect()

    async def _answer_or_stop(self, query: dict[str, Any]) -> None:
        answer = asyncio.create_task(self._answer(query))
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait([answer, stop], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            if self._frames is None or self._client is None:
                answer.cancel()
            else:
                await self._client.interrupt()
        stop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answer

    async def _answer(self, query: dict[str, Any]) -> None:
        try:
            await self._prepare(query)
            assert self._client is not None  # noqa: S101 - _prepare connected it
            prompt_id = str(uuid.uuid4())
            self._ended.clear()
            self._frames = AnswerFrames(prompt_id, self._total_cost)
            await self._client.query(_prompt(query["prompt"], prompt_id))
            await self._ended.wait()
        except (ClaudeSDKError, OSError) as error:
            await self._disconnect()
            send(
                {
                    "type": "error",
                    "error": f"The agent could not be started: {error}",
                    "code": "agent-not-started",
                }
            )
        finally:
            self._frames = None

    async def _prepare(self, query: dict[str, Any]) -> None:
        """Have a client connected with what the query needs."""
        needed = Connection.of(query)
        session = query.get("sdkSessionId") or self._session
        if self._client is None or needed != self._connection or session != self._session:
            await self._disconnect()
            try:
                await self._connect(needed, session)
            except ClaudeSDKError:
                if session is None:
                    raise
                await self._disconnect()
                send({"type": "session-reset", "reason": "The earlier conversation could not be resumed."})
                self._remember(None)
                await self._connect(needed, None)
        assert self._client is not None  # noqa: S101 - connected above
        mode: Literal["bypassPermissions", "plan"] = (
            "plan" if query.get("mode") == "plan" else "bypassPermissions"
        )
        if mode != self._mode:
            await self._client.set_permission_mode(mode)
            self._mode = mode
        model = query.get("model") or self._default_model
        if model != self._model:
            await self._client.set_model(model)
            self._model = model

    async def _connect(self, connection: Connection, session: str | None) -> None:
        servers = {
            name: server_config(name) if config.get("type") == "relay" else config
            for name, config in connection.mcp_servers.items()
        }
        with _secret_file(self._state / "mcp-servers.json", {"mcpServers": servers}) as mcp_config:
            client = ClaudeSDKClient(
                ClaudeAgentOptions(
                    cwd=connection.cwd,
                    env={**SANDBOX_ENV, **connection.env},
                    mcp_servers=mcp_config if servers else {},
                    model=self._default_model,
                    resume=session,
                    permission_mode="bypassPermissions",
                    include_partial_messages=True,
                    setting_sources=["user", "project"],
                    system_prompt={"type": "preset", "preset": "claude_code"},
                    max_buffer_size=MAX_LINE_BYTES,
                    stderr=_to_stderr,
                )
            )
            await client.connect()
        self._client, self._connection, self._session = client, connection, session
        self._mode, self._model = "bypassPermissions", self._default_model
        self._pump = asyncio.create_task(self._read(client))

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump
            self._pump = None
        if client is not None:
            with contextlib.suppress(ClaudeSDKError, OSError):
                await client.disconnect()

    async def _read(self, client: ClaudeSDKClient) -> None:
        """Take every message as it comes, between answers too: one left unread would block those behind it."""
        failure = "The agent's program ended."
        try:
            async for message in client.receive_messages():
                if self._frames is None:
                    continue
                for frame in self._frames.of(message):
                    if frame["type"] == "session-init":
                        self._remember(frame["sessionId"])
                    send(frame)
                if self._frames.is_finished:
                    self._total_cost = self._frames.total_cost
                    self._ended.set()
                elif self._frames.is_hopeless:
                    self._stop.set()
        except ClaudeSDKError as error:
            failure = str(error)
        self._client = None
        if self._frames is not None and not self._frames.is_finished:
            send({"type": "error", "error": failure, "code": "agent-failed"})
            self._ended.set()

    def _remembered(self) -> str | None:
        with contextlib.suppress(FileNotFoundError):
            return (self._state / "sdk-session").read_text(encoding="ascii").strip() or None
        return None

    def _remember(self, session: str | None) -> None:
        if session == self._session:
            return
        self._session = session
        self._state.mkdir(parents=True, exist_ok=True)
        (self._state / "sdk-session").write_text(session or "", encoding="ascii")


async def _prompt(text: str, prompt_id: str) -> AsyncIterator[dict[str, Any]]:
    message = {"role": "user", "content": text}
    yield {
        "type": "user",
        "uuid": prompt_id,
        "message": message,
        "parent_tool_use_id": None,
        "session_id": "default",
    }


@contextlib.contextmanager
def _secret_file(path: Path, content: dict[str, Any]) -> Iterator[str]:
    """`content` in a file of mode 0600 while the client connects: it may hold keys, and argv is no place for them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    workspace = Path(os.environ.get("VF_WORKSPACE") or "/workspace")
    asyncio.run(ClaudeAgent(Path.home(), workspace, os.environ.get("VF_MODEL") or None).run())
