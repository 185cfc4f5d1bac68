"""The `process` driver: a sandbox is a process of this machine, not isolated; for tests and for `--dev`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import aiohttp

from container.protocol import RUN_ID, sandbox_token
from gateway import errors
from gateway.sandboxes.drivers import Sandbox, SandboxState, always, procs
from gateway.sandboxes.drivers.fingerprint import fingerprint_of
from gateway.sandboxes.drivers.folder import Folder, Record
from gateway.sandboxes.drivers.proof import proven_client
from gateway.sandboxes.drivers.ready import ATTEMPTS, wait_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.config import Settings

T = TypeVar("T")
log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
LOOK_SECONDS = 0.05
SOURCE = Path(__file__).resolve().parents[3]
"""The folder that `python -m container` is started in."""


class ProcessDriver:
    """Sandboxes as processes, each with a folder under `root` (see `Folder`).

    Any number of drivers, in any number of gateways, may share a root: a file lock per session orders them, and
    a process is recognised by its pid and the time of its birth. `env` is added to every sandbox's environment.
    """

    def __init__(self, settings: Settings, root: Path, *, env: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self._root = root.resolve()
        self._env = dict(env or {})
        self._client: aiohttp.ClientSession | None = None
        self.names_starts: Callable[[], bool] = always

    async def ensure(self, session: str, *, occupant: str = "") -> Sandbox:
        """See `Poolable`."""
        if self._client is None:
            self._client = proven_client()
        for _ in range(ATTEMPTS):
            sandbox = await wait_ready(
                await self._locked(session, self._start),
                client=self._client,
                secret=self._settings.sandbox_secret,
                accepted=self._settings.sandbox_secret_accepted,
                look=lambda: self.status(session),
                look_seconds=LOOK_SECONDS,
                seconds=self._settings.start_seconds,
                occupant=occupant,
            )
            if sandbox.state is SandboxState.RUNNING:
                return sandbox
        tail = await self._locked(session, Folder.log_tail)
        log.warning("session %s: its sandbox ended while it started: %s", session, tail)
        raise errors.SandboxUnavailable(
            f"The sandbox of session {session} ended while it started; the gateway's log has its last lines."
        )

    async def status(self, session: str) -> Sandbox:
        """See `Driver`."""
        return await self._locked(session, self._look)

    async def stop(self, session: str) -> None:
        """See `Driver`: TERM, then KILL after 5 s."""
        await self._locked(session, self._stop)

    async def delete(self, session: str) -> None:
        """See `Driver`: its folder goes too."""
        await self._locked(session, self._delete)

    async def list(self) -> Sequence[Sandbox]:
        """See `Driver`."""
        found = [await self.status(session) for session in await asyncio.to_thread(self._sessions)]
        return [sandbox for sandbox in found if sandbox.state is not SandboxState.ABSENT]

    async def fingerprint(self) -> str:
        """See `Poolable`."""
        settings = self._settings
        agent = (settings.agent, settings.model, settings.redact)
        parts = (
            *agent,
            settings.broker_port,
            settings.sandbox_secret,
            self._egress(),
            self._git(),
            self._env,
        )
        return fingerprint_of(*map(repr, parts))

    async def close(self) -> None:
        """See `Driver`."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _sessions(self) -> Sequence[str]:
        return sorted(path.name for path in self._root.glob("*") if RUN_ID.fullmatch(path.name))

    async def _locked(self, session: str, work: Callable[[Folder], T]) -> T:
        """Do blocking work on a session's folder in a thread, under its lock."""
        if not RUN_ID.fullmatch(session):
            raise errors.BadRequest("The session's id is malformed.", field="sessionId")

        def locked() -> T:
            folder = Folder(self._root, session)
            with folder.lock():
                return work(folder)

        return await asyncio.to_thread(locked)

    # The methods below block, and run under the lock.

    def _look(self, folder: Folder) -> Sandbox:
        session, record = folder.path.name, folder.read()
        if record is None:
            state = SandboxState.STOPPED if folder.path.exists() else SandboxState.ABSENT
            return Sandbox(session=session, state=state)
        if record.ended is None and not record.process.alive():
            record = replace(record, ended=_lost_reason(record.process.end_status()))
            folder.write(record)
            log.info("session %s: its sandbox has ended by itself (%s)", session, record.ended)
        if record.ended is not None:
            return Sandbox(session=session, state=SandboxState.STOPPED, lost_reason=record.ended)
        port = folder.port()
        return Sandbox(
            session=session,
            state=SandboxState.RUNNING if port else SandboxState.STARTING,
            host="127.0.0.1",
            port=port,
            started_at=record.started_at,
            start=record.start,
        )

    def _start(self, folder: Folder) -> Sandbox:
        sandbox = self._look(folder)
        if sandbox.state in (SandboxState.RUNNING, SandboxState.STARTING):
            return sandbox
        self._kill_strays(folder)
        folder.create()
        start = secrets.token_hex(8) if self.names_starts() else ""
        process = procs.spawn(
            [sys.executable, "-m", "container"],
            cwd=SOURCE,
            env=self._environment(folder, sandbox.lost_reason, start),
            output=folder.log_file,
        )
        folder.write(Record(process, started_at=time.time(), ended=None, start=start))
        log.info("session %s: sandbox started as process %s", sandbox.session, process.pid)
        return self._look(folder)

    def _stop(self, folder: Folder) -> None:
        sandbox, record = self._look(folder), folder.read()
        if record is not None and sandbox.state is not SandboxState.STOPPED:
            procs.end(record.process, grace=STOP_SECONDS)
            folder.write(replace(record, ended=""))
            log.info("session %s: sandbox stopped", sandbox.session)
        self._kill_strays(folder)

    def _delete(self, folder: Folder) -> None:
        self._stop(folder)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder.path)

    def _kill_strays(self, folder: Folder) -> None:
        """Agents that outlived their agent server: no container's end took them along."""
        if folder.path.exists():
            procs.end_holders("HOME", str(folder.home))

    def _egress(self) -> dict[str, str]:
        settings = self._settings
        return (
            {}
            if settings.egress == "none"
            else {"VF_EGRESS_PROXY": f"http://127.0.0.1:{settings.egress_port}"}
        )

    def _git(self) -> dict[str, str]:
        hosts = ",".join(self._settings.git_hosts)
        return {"VF_GIT_HOSTS": hosts} if hosts else {}

    def _environment(self, folder: Folder, lost_reason: str, start: str) -> dict[str, str]:
        """All that a sandbox knows; nothing of the gateway's own environment enters it."""
        session = folder.path.name
        token = sandbox_token(self._settings.sandbox_secret.encode(), session)
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "LANG": "C.UTF-8",
            "HOME": str(folder.home),
            "VF_SANDBOX_TOKEN": token,
            "VF_SESSION": session,
            "VF_AGENT": self._settings.agent,
            "VF_MODEL": self._settings.model,
            "VF_REDACT": str(self._settings.redact).lower(),
            "VF_HOST": "127.0.0.1",
            "VF_PORT": "0",
            "VF_PORT_FILE": str(folder.port_file),
            "VF_WORKSPACE": str(folder.workspace),
            "VF_HOME": str(folder.home),
            "VF_PENDING_DIR": str(folder.pending),
            "VF_SEED_PENDING_PATH": str(folder.pending / "vf-pending-query.json"),
            "VF_LOST_REASON": lost_reason,
            "VF_START": start,
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{self._settings.broker_port}",
            **self._egress(),
            **self._git(),
            **self._env,
        }


def _lost_reason(status: int | None) -> str:
    """From a wait status; where nobody can tell it any more (its parent has gone) it is `exited`."""
    return "killed" if status is not None and os.WIFSIGNALED(status) else "exited"
