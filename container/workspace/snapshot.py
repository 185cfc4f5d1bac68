"""Snapshots: the workspace and the agent's home as one stream, and their return into a fresh sandbox, once."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import StreamReader, hdrs, web

from container.agent.agent import Agent
from container.errors import AgentServerError, BadRequest, Busy, Conflict, InsufficientStorage
from container.runs.service import RunService
from container.settings import Settings
from container.workspace import archive
from container.workspace.fingerprint import fingerprint

T = TypeVar("T")
log = logging.getLogger(__name__)

TAKE_SECONDS: Final = 1800.0
"""A snapshot whose reader is slower than this is given up, so that another may be taken."""

TAG_SECONDS: Final = 4.0
"""For a snapshot's tag: the gateway waits ten seconds for the head of the answer. One that takes longer has none."""

SILENCE_SECONDS: Final = 60.0
"""A restore whose body says nothing for this long is given up: everything else waits for it."""

SKIP: Final = frozenset(
    {
        "home/.cache",
        "home/.npm",
        "home/.vaporforge/gitconfig",
        "home/.vaporforge/mcp-servers.json",
        "home/.vaporforge/restored",
        "home/.vaporforge/restoring",
        "home/.vaporforge/runs",
    }
)
"""Caches, what may hold a key, what each run writes anew, this module's marks, and the frame logs: those are the
store's."""


class Snapshots:
    """Takes and restores; `download` and `upload` are the handlers of `GET` and `PUT /snapshot`.

    A sandbox is *fresh* while no run has a log in it, its workspace is empty and nothing was restored. A restore that
    is cut short leaves a mark, by which the next start of the server makes the sandbox fresh again.
    """

    def __init__(self, settings: Settings, agent: Agent, runs: RunService, idle: Callable[[], float]) -> None:
        """`idle`: for how many seconds nothing has run, waited or been connected."""
        self._settings = settings
        self._agent = agent
        self._runs = runs
        self._idle = idle
        self._roots = {"workspace": settings.workspace, "home": settings.home}
        state = settings.home / ".vaporforge"
        self._restored, self._restoring = state / "restored", state / "restoring"
        self._used = False
        self._taking = False
        self._restore = asyncio.Lock()

    async def start(self) -> None:
        """Undo a restore that was cut short; before the agent is started."""
        await self._as_agent(self._undo)

    async def is_fresh(self) -> bool:
        """Whether a snapshot may be restored; still so while one is, as others must wait for it."""
        return self._restore.locked() or await self._is_fresh()

    async def settled(self) -> None:
        """Return once no restore is on: a run must not see half a workspace."""
        async with self._restore:
            return

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A snapshot; 204 when the sandbox is fresh, or has the tag that `unless` names. The connection breaks when a
        run begins meanwhile; with `idle`, also when anybody comes."""
        if self._taking or self._restore.locked():
            raise Busy("A snapshot is being taken or restored.")
        if await self._is_fresh():
            return web.Response(status=204)
        idle = self._idle()
        if self._runs.has_work() or idle < idle_asked(request):
            raise Busy(f"The sandbox has been idle for {idle:.1f} s.")
        begun, alone = self._runs.begun, "idle" in request.query
        response = web.StreamResponse(headers={"Content-Type": "application/gzip"})
        self._taking = True
        try:
            # Before it is packed: what changes meanwhile gives the next one another tag.
            tag = await self._as_agent(lambda: fingerprint(self._roots, SKIP, seconds=TAG_SECONDS))
            if tag:
                if request.query.get("unless") == tag:
                    return web.Response(status=204)
                response.headers[hdrs.ETAG] = f'"{tag}"'
            await response.prepare(request)
            async with asyncio.timeout(TAKE_SECONDS):
                if await self._send(response, begun, alone=alone):
                    await response.write_eof()
                    return response
            log.info("the snapshot is given up: a run has begun")
        except (ConnectionError, TimeoutError) as error:
            log.info("the snapshot is given up: %r", error)
        finally:
            self._taking = False
        if request.transport is not None:
            request.transport.abort()  # without the stream's end, so that nobody takes it for whole
        return response

    async def _send(self, response: web.StreamResponse, runs: int, *, alone: bool) -> bool:
        """`runs`: as many had begun; `alone`: while nobody else is connected."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        chunks = archive.pack(self._roots, SKIP)
        while (chunk := await self._as_agent(lambda: next(chunks, None))) is not None:
            # A run may have begun and ended while this waited for its reader.
            if self._runs.has_work() or self._runs.begun != runs:
                return False
            if alone and self._idle() < clock() - begun:
                return False
            if chunk:
                await response.write(chunk)
        return True

    async def upload(self, request: web.Request) -> web.Response:
        """Restore the body, a snapshot. Who comes second waits, and learns that the sandbox is not fresh."""
        async with self._restore:
            if self._runs.has_work() or not await self._is_fresh():
                raise Conflict("The sandbox is in use: only a fresh one takes a snapshot.")
            if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue" and request.transport:
                request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            size = await self._unpack(request.content)
            self._runs.restored = True
        log.info("a snapshot of %d bytes was restored", size)
        return web.json_response({"bytes": size})

    async def _unpack(self, body: StreamReader) -> int:
        source = _Source(body, asyncio.get_running_loop())
        async with self._agent.away():
            await self._as_agent(lambda: self._mark(self._restoring))
            work = asyncio.ensure_future(
                self._as_agent(
                    lambda: archive.unpack(source, self._roots, SKIP, limit=self._settings.restore_bytes)
                )
            )
            try:
                size = await asyncio.shield(work)
                await self._as_agent(lambda: self._mark(self._restored))
                await self._as_agent(self._restoring.unlink)
                self._used = True
            except BaseException as error:
                source.close()
                await asyncio.gather(work, return_exceptions=True)
                await self._as_agent(self._undo)
                if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
                    raise InsufficientStorage(f"The snapshot cannot be written: {error.strerror}.") from error
                raise _told(error) from error
        return size

    async def _as_agent(self, work: Callable[[], T]) -> T:
        """Blocking work on the agent's files, in a thread that has the agent's rights."""

        def acting() -> T:
            with self._settings.user.acting():
                return work()

        return await asyncio.to_thread(acting)

    async def _is_fresh(self) -> bool:
        if not self._used:
            self._used = self._runs.knows_any() or await self._as_agent(self._has_files)
        return not self._used

    def _has_files(self) -> bool:
        if self._restored.exists():
            return True
        with os.scandir(self._settings.workspace) as entries:
            return any(True for _ in entries)

    def _undo(self) -> None:
        """Empty the workspace again; what was put into the home is replaced by the next restore."""
        if not self._restoring.exists():
            return
        for path in self._settings.workspace.iterdir():
            if path.is_dir() and not path.is_symlink():
                _open_up(path)
                shutil.rmtree(path)
            else:
                path.unlink()
        self._restoring.unlink()
        log.warning("a restore was cut short; the sandbox is fresh again")

    @staticmethod
    def _mark(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            os.fsync(file.fileno())


class _Source:
    """A request's body for a thread that reads it."""

    def __init__(self, body: StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        self._body = body
        self._loop = loop
        self._held = io.BytesIO()
        self._closed = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, and b"" at the end only. Raises ConnectionError when there will be no more, TimeoutError
        when nothing came for SILENCE_SECONDS."""
        data = self._held.read(size)
        if not data and not self._closed:
            more = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
            self._held = io.BytesIO(more)
            data = self._held.read(size)
        if self._closed:
            raise ConnectionResetError("nobody waits for this restore any more")
        return data

    async def _next(self) -> bytes:
        async with asyncio.timeout(SILENCE_SECONDS):
            return await self._body.read(archive.CHUNK_BYTES)

    def close(self) -> None:
        """Let the thread's next read fail, and the one that is on."""
        self._closed = True
        if not self._body.is_eof():
            self._body.set_exception(ConnectionResetError("nobody waits for this restore any more"))


def idle_asked(request: web.Request) -> float:
    """The `idle` of a query, in seconds. Raises BadRequest."""
    given = request.query.get("idle", "0")
    try:
        idle = float(given)
    except ValueError:
        raise BadRequest("idle must be a number of seconds.", field="idle") from None
    if not 0 <= idle < float("inf"):
        raise BadRequest("idle must be 0 or more seconds.", field="idle")
    return idle


def _told(error: BaseException) -> BaseException:
    """What the sender of a snapshot is told: a body that broke off is a damaged one."""
    if isinstance(error, AgentServerError) or not isinstance(error, Exception):
        return error
    return BadRequest(f"The snapshot did not come whole ({type(error).__name__}).", field="body")


def _open_up(folder: Path) -> None:
    """Let folders that came without write permission be emptied."""
    folder.chmod(0o700)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            _open_up(path)
