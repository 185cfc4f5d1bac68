"""Keeps a process of the agent alive: started ahead of the first query, kept, and started again when it died."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from container.agent.lines import Line, Texts
from container.agent.process import AgentProcess
from container.agent.spared import Spared
from container.settings import Settings, agent_environment

log = logging.getLogger(__name__)

KEY: Final = "ANTHROPIC_API_KEY"

MAX_IDLE_DEATHS: Final = 5
"""A process that dies this often without a query is started only when there is one."""

LASTING_SECONDS: Final = 10.0
"""A process that lived this long before it died is no such process."""

OnLines = Callable[[AgentProcess, list[Line]], None]
OnTexts = Callable[[AgentProcess, Texts], bool]


class Keeper:
    """`process`: the newest one, which may have ended. `ready`: it has said that it takes queries one behind the other.
    `one_shot`: the last one took one query and ended well, without a word of it. `own_env`: what each is told on top of
    the server's own. `spared`: what of the agent's user is not the agent's, and stays when that ends."""

    def __init__(
        self,
        settings: Settings,
        is_busy: Callable[[], bool],
        on_lines: OnLines,
        on_stderr: OnLines,
        on_texts: OnTexts,
    ) -> None:
        """`is_busy`: whether a query is being answered; `free` is to be called when none is any more."""
        self.process: AgentProcess | None = None
        self.ready = False
        self.one_shot = False
        self.own_env: Mapping[str, str] = {}
        self.spared = Spared()
        self._settings = settings
        self._is_busy = is_busy
        self._on_lines, self._on_stderr, self._on_texts = on_lines, on_stderr, on_texts
        self._was_asked = False
        self._started_at = 0.0
        self._idle_deaths = 0
        self._freed = asyncio.Event()
        self._spawning = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def alive(self) -> AgentProcess | None:
        """The process, while it runs or is halted."""
        return self.process if self.process is not None and self.process.is_alive else None

    def start(self, env: Mapping[str, str], *, after: float = 0.0) -> None:
        """Begin to keep a process alive, `after` seconds from now. `env`: what every one of them is told, but for a key
        of the model's API that the server has: no driver gives it one."""
        given = {KEY: os.environ[KEY]} if KEY in os.environ else {}
        self.own_env = {**env, **given}
        self._keeping = asyncio.create_task(self._keep(after), name="agent-keeper")

    async def keep_none(self) -> None:
        """Start no process any more but for a query; the present one stays. May be called twice."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping

    async def end(self) -> None:
        """End the process; the next one is started as ever."""
        if self.process is not None:
            await self.process.close()

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """No process while the block runs."""
        async with self._spawning:
            await self.end()
            yield

    def asked(self) -> None:
        """The process has a query."""
        self._was_asked, self._idle_deaths = True, 0

    def free(self) -> None:
        """No query is being answered any more."""
        self._freed.set()

    async def process_for(self, query: dict[str, Any]) -> AgentProcess:
        """The process that is to have a query. Raises OSError when none can be started."""
        own = bool(query["env"]) or Path(query["cwd"]) != self._settings.agent.cwd
        if own and self.takes_environment:
            return await self._spawn(query["env"], Path(query["cwd"]), afresh=True)
        return await self._spawn({}, self._settings.agent.cwd)

    @property
    def takes_environment(self) -> bool:
        """Whether it may be one that takes environment and directory of its query from its start."""
        return not self.ready and not self._settings.agent.kept

    async def _spawn(self, env: dict[str, str], cwd: Path, *, afresh: bool = False) -> AgentProcess:
        async with self._spawning:
            if self.alive is not None:
                if not afresh:
                    return self.alive
                await self.alive.close()
            if self.process is not None:
                await asyncio.wait([self.process.ended])  # its last output is not the next one's
            self.process = None
            self.ready = self._was_asked = False
            self._started_at = asyncio.get_running_loop().time()
            self.process = await AgentProcess.spawn(
                self._settings.agent.argv,
                # A file, so that an agent which was started ahead has the identity of whoever asks later.
                {
                    "GIT_CONFIG_SYSTEM": str(self._settings.git_identity),
                    **agent_environment(self._settings, {**os.environ, **self.own_env}, env),
                },
                cwd,
                self._settings.user,
                on_lines=self._on_lines,
                on_stderr=self._on_stderr,
                on_texts=self._on_texts,
                spared=self.spared,
            )
            return self.process

    async def _keep(self, after: float) -> None:
        await asyncio.sleep(after)
        counted: AgentProcess | None = None
        while True:
            self._freed.clear()
            if not self._is_busy() and self._idle_deaths < MAX_IDLE_DEATHS:
                try:
                    await self._spawn({}, self._settings.agent.cwd)
                except OSError as error:
                    log.error("the agent cannot be started: %s", error)  # noqa: TRY400 - the sentence is the whole of it
                    self._idle_deaths = MAX_IDLE_DEATHS
            if self.process is not None and self.process is not counted:
                counted = self.process  # which may have died already
                await asyncio.wait([counted.ended])
                age = asyncio.get_running_loop().time() - self._started_at
                was_useful = self._was_asked or age > LASTING_SECONDS
                self._idle_deaths = 0 if was_useful else self._idle_deaths + 1
                if 0 < self._idle_deaths < MAX_IDLE_DEATHS:
                    await asyncio.sleep(0.1 * 2**self._idle_deaths)
            if self._is_busy() or self._idle_deaths >= MAX_IDLE_DEATHS:
                await self._freed.wait()
