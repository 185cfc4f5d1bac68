"""One session's sandbox for tests: the real agent server in this process, with an agent that does what it is told.

It is a `Driver` too. Its volume can be lost, its server killed, its connections cut; what it wrote is remembered.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest import mock

from aiohttp import web

from container.agent.agent import AgentState
from container.agent.answer import Outcome
from container.agent.spared import Spared
from container.protocol import ExitReason, encode, sandbox_token
from container.settings import Settings
from container.web import app as server
from container.web import app_keys
from gateway.errors import SandboxUnavailable
from gateway.sandboxes.drivers import Sandbox, SandboxState
from tests.listening import stop_accepting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from container.web.middleware import Handler

GONE = b"gone"
END_SECONDS = 1.0


class Puppet:
    """In place of `container.agent.Agent`: it answers with the frames that it is given, until it is told to end."""

    def __init__(self, _settings: Settings) -> None:
        self.spared = Spared()
        self.own_env: Mapping[str, str] = {}
        self._sink: Callable[[list[bytes]], None] | None = None
        self._ended: asyncio.Future[Outcome] | None = None

    @property
    def state(self) -> AgentState:
        return AgentState.READY if self._ended is None else AgentState.BUSY

    def family(self) -> tuple[int, set[int]]:
        """There is no process, and nothing comes of it."""
        return 0, set()

    async def answer(self, _query: dict[str, Any], sink: Callable[[list[bytes]], None]) -> Outcome:
        """See `Agent`."""
        self._sink, self._ended = sink, asyncio.get_running_loop().create_future()
        try:
            return await self._ended
        finally:
            self._sink = self._ended = None

    def say(self, frames: Sequence[dict[str, Any]]) -> None:
        """Write frames; those outside of an answer go nowhere."""
        if self._sink is not None and self._ended is not None and not self._ended.done():
            self._sink([encode(frame) for frame in frames])

    def end(self, outcome: Outcome) -> None:
        """End the answer, if there is one."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(outcome)

    async def stop(self) -> None:
        """See `Agent`."""
        self.say([{"type": "text-delta", "text": "(interrupted)"}])
        self.end(Outcome(None, ExitReason.STOPPED))

    def start(self, env: Mapping[str, str]) -> None:
        """There is no process."""

    async def keep_none(self) -> None:
        """There is none."""

    async def close(self) -> None:
        """There is none."""


class SandboxDouble:
    """`reachable`: whether its network lets anything through. `commanded`: whether the driver's own calls work.

    `written`: for each volume that it had, every frame of each run, as `look` found them.
    """

    def __init__(self, session: str, secret: str, folder: Path) -> None:
        self.session = session
        self.reachable = True
        self.commanded = True
        self.written: list[dict[str, list[bytes]]] = [{}]
        self._secret = secret
        self._folder = folder
        self._disk = 0
        self._lives = 0
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._lock = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()
        self._make_disk()

    # -- what a driver does --
    async def ensure(self, _session: str) -> Sandbox:
        # Who asks may be gone meanwhile; what was begun goes on, as with a container.
        return await asyncio.shield(asyncio.ensure_future(self._ensure()))

    async def status(self, _session: str) -> Sandbox:
        if not self.commanded:
            raise SandboxUnavailable("The launcher is away.")
        return self._sandbox()

    async def stop(self, _session: str) -> None:
        """As SIGTERM does: the run that is on ends as lost, in its log. One that nobody reaches is killed."""
        if not self.commanded:
            raise SandboxUnavailable("The launcher is away.")
        await asyncio.shield(asyncio.ensure_future(self._stop()))

    async def delete(self, session: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        """End it, and wait for what is left of its earlier lives."""
        self.commanded = self.reachable = True
        await self.stop(self.session)
        await asyncio.gather(*self._ending)

    # -- what happens to it --
    @property
    def agent(self) -> Puppet | None:
        """The agent; None while there is no sandbox."""
        return None if self._runner is None else self._runner.app[app_keys.AGENT]  # type: ignore[return-value]

    @property
    def active(self) -> str | None:
        """The run that its agent answers."""
        run = None if self._runner is None else self._runner.app[app_keys.RUNS].active
        return run.id if run is not None else None

    def is_on(self, run: str) -> bool:
        """Whether a live agent server has the run and has not ended it."""
        known = {} if self._runner is None else self._runner.app[app_keys.RUNS]._runs
        return run in known and not known[run].is_final

    def cut(self) -> None:
        """Break every connection."""
        if self._runner is not None and self._runner.server is not None:
            for connection in self._runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()

    async def kill(self, *, torn: bool = False, lost: bool = False) -> None:
        """SIGKILL. The volume stays as it is, `torn` in the middle of a write; or it is `lost` too."""
        async with self._lock:
            before = self._home
            self._kill()
            self._disk += 1
            self._make_disk()
            if lost:
                self.written.append({})
                return
            shutil.copytree(before, self._home, dirs_exist_ok=True)
            if torn:
                for log in (self._home / ".vaporforge" / "runs").glob("*[!d].jsonl"):
                    with log.open("ab") as file:
                        file.write(b'{"type":"text-delta","text":"torn')

    def look(self) -> dict[str, list[bytes]]:
        """Every frame that is on the present volume, by run. Raises AssertionError when one of them has changed."""
        written = self.written[-1]
        for run in self._runner.app[app_keys.RUNS]._runs.values() if self._runner is not None else ():
            lines = written.setdefault(run.id, [])
            assert run.frames.last >= len(lines), f"run {run.id} has lost frames"
            while len(lines) < run.frames.last:
                found, _ = run.frames.read(len(lines))
                lines += found.split(b"\n")
            if run.is_final and not run.readers:
                run.frames.close()
        return written

    # -- inside --
    @property
    def _home(self) -> Path:
        return self._folder / f"home-{self._disk}"

    def _make_disk(self) -> None:
        self._home.mkdir(parents=True)
        (self._folder / "workspace").mkdir(exist_ok=True)

    def _sandbox(self) -> Sandbox:
        if self._runner is None:
            return Sandbox(session=self.session, state=SandboxState.STOPPED)
        return Sandbox(
            session=self.session,
            state=SandboxState.RUNNING,
            host="127.0.0.1",
            port=self._runner.addresses[0][1],
            started_at=self._lives,
        )

    async def _ensure(self) -> Sandbox:
        async with self._lock:
            if not (self.reachable and self.commanded):
                raise SandboxUnavailable("The sandbox does not come up.")
            if self._runner is None:
                await self._start()
            return self._sandbox()

    async def _stop(self) -> None:
        async with self._lock:
            if self._runner is not None:
                if self.reachable:
                    await self._runner.app[app_keys.RUNS].close()
                self._kill()

    async def _start(self) -> None:
        self._lives += 1
        environment = {
            "VF_SANDBOX_TOKEN": sandbox_token(self._secret.encode(), self.session),
            "VF_SESSION": self.session,
            "VF_AGENT": "demo",
            "VF_WORKSPACE": str(self._folder / "workspace"),
            "VF_HOME": str(self._home),
            "VF_PENDING_DIR": str(self._folder / f"pending-{self._lives}"),
            "VF_SEED_PENDING_PATH": str(self._folder / "seed-query.json"),
        }
        with mock.patch.object(server, "Agent", Puppet):
            app = server.build_app(Settings.from_env(environment))
        app.middlewares.insert(0, self._network_of(self._lives))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=END_SECONDS)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._runner, self._site = runner, site

    def _network_of(self, life: int) -> Any:
        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self.reachable and self._runner is not None and life == self._lives:
                return await handler(request)
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)

        return check

    def _kill(self) -> None:
        """Nothing of the server reaches anybody any more when this returns, nor is anything of it on the volume."""
        if self._runner is None or self._site is None:
            return
        self.look()
        self.cut()
        task = asyncio.create_task(self._clean_up(self._runner, self._site))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        self._runner = self._site = None

    async def _clean_up(self, runner: web.AppRunner, site: web.TCPSite) -> None:
        assert isinstance(site._server, asyncio.Server)
        await stop_accepting(site._server)
        with suppress(ConnectionError):
            await runner.cleanup()

    async def list(self) -> Sequence[Sandbox]:
        raise NotImplementedError
