"""A connection to the Claude SDK's program: what it is made with, how it is opened, and how it is closed."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient

from container.agents.mcp_relay import server_config
from container.protocol import MAX_LINE_BYTES

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

    async def open(self, session: str | None, model: str | None, servers_file: Path) -> ClaudeSDKClient:
        """A connected client that resumes `session`. `servers_file`: where the MCP servers' configuration, which may
        hold keys, is kept meanwhile.

        Raises ClaudeSDKError, OSError, and the bare Exceptions of the SDK's control requests.
        """
        servers = {
            name: server_config(name) if config.get("type") == "relay" else config
            for name, config in self.mcp_servers.items()
        }
        with _secret_file(servers_file, {"mcpServers": servers}) as mcp_config:
            client = ClaudeSDKClient(
                ClaudeAgentOptions(
                    cwd=self.cwd,
                    env={**SANDBOX_ENV, **self.env},
                    mcp_servers=mcp_config if servers else {},
                    model=model,
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
        return client


async def close(client: ClaudeSDKClient) -> None:
    """End a client and its program; whatever it says to that, it is of no use any more."""
    with contextlib.suppress(Exception):
        await client.disconnect()


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
