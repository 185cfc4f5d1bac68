"""The terminals of a sandbox: opened, listed and closed; so many at once, and all of them end with the sandbox."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from container.agent.spared import Spared
from container.errors import AgentServerError, Conflict, TerminalNotFound
from container.settings import Settings, agent_environment
from container.terminals.terminal import Terminal

log = logging.getLogger(__name__)

SHELLS: Final = ("bash", "sh")
"""The first of these that there is."""

NOT_A_SHELLS: Final = frozenset(
    {"VF_SESSION", "VF_RELAY_TOKEN", "VF_PORT_FILE", "VF_PENDING_DIR", "ANTHROPIC_API_KEY"}
)
"""Variables of the agent server and of its agents that a person has no use for."""


class Terminals:
    """Every terminal of this sandbox, by its id. `spared`: is told of the shells, which are not the agent's.
    `agents`: what agents are told besides the agent server's environment, now."""

    def __init__(
        self, settings: Settings, spared: Spared, agents: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        self._settings = settings
        self._agents = agents
        self._spared = spared
        self._terminals: dict[str, Terminal] = {}
        self._opening = asyncio.Lock()

    def list(self) -> list[dict[str, Any]]:
        """All of them, the oldest first."""
        return [terminal.json() for terminal in self._terminals.values()]

    @property
    def is_busy(self) -> bool:
        """Whether something runs in the foreground of one of them."""
        return any(terminal.pty.is_busy for terminal in self._terminals.values())

    def get(self, name: str) -> Terminal:
        """Raises TerminalNotFound."""
        terminal = self._terminals.get(name)
        if terminal is None:
            raise TerminalNotFound(f"This sandbox has no terminal {name}.", field="terminal")
        return terminal

    async def open(self, name: str | None, cwd: Path, size: tuple[int, int]) -> tuple[Terminal, bool]:
        """A new shell in `cwd`, of `size` (columns, rows), and whether it is new: the one that has this id already is
        taken as it is. Raises Conflict where there are as many as may be, AgentServerError where no shell starts."""
        async with self._opening:
            if name is not None and name in self._terminals:
                return self._terminals[name], False
            most = self._settings.terminals
            if len(self._terminals) >= most:
                raise Conflict(f"A session may have {most} terminals at once: close one of them.")
            terminal = Terminal(
                name or secrets.token_urlsafe(9), size, self._settings.terminal_bytes, self._spared
            )
            env = self._environment()
            shell = next(
                (path for one in SHELLS if (path := shutil.which(one, path=env.get("PATH")))), "/bin/sh"
            )
            try:
                await terminal.pty.open(
                    (shell,),
                    {**env, "SHELL": shell},
                    cwd,
                    self._settings.user,
                    (terminal.cols, terminal.rows),
                )
            except OSError as error:
                raise AgentServerError(f"No terminal can be opened: {error.strerror}.") from error
            self._terminals[terminal.id] = terminal
            log.info("terminal %s opened: process %d", terminal.id, terminal.pty.pid)
            return terminal, True

    async def close_one(self, name: str) -> None:
        """End a terminal's shell and what runs in it, and forget it. Raises TerminalNotFound."""
        terminal = self.get(name)
        await terminal.pty.close()
        self._terminals.pop(name, None)

    async def close(self) -> None:
        """End all of them. May be called twice."""
        await asyncio.gather(*(terminal.pty.close() for terminal in self._terminals.values()))

    def _environment(self) -> dict[str, str]:
        """As an agent's, with its ways to git hosts and to the proxy, and without what asks the model and the relay."""
        whole = agent_environment(self._settings, {**os.environ, **self._agents()}, {})
        return {
            **{name: value for name, value in whole.items() if name not in NOT_A_SHELLS},
            "GIT_CONFIG_SYSTEM": str(self._settings.git_identity),
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        }
