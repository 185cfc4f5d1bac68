"""The launcher's routes: ensure, look at, stop and delete the sandbox of a session, of what kind these are, that
gateways be put on sandboxes' networks, and how the disk is; nothing else can be asked."""

from __future__ import annotations

import asyncio
import hmac
import logging
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from aiohttp import hdrs, web

from container.listener.refusals import encoding_of
from container.protocol import RUN_ID
from gateway import errors
from gateway.launcher import spec
from gateway.launcher.disk.ledger import Limits
from gateway.launcher.disk.watch import DiskWatch
from gateway.launcher.door import look_forever
from gateway.launcher.mending import mend_forever
from gateway.sandboxes.drivers import SandboxState
from gateway.sandboxes.drivers.wire import NAME_START, disk_to_json, to_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler

    from gateway.launcher.engine import DockerEngine
    from gateway.launcher.settings import LauncherSettings
    from gateway.sandboxes.drivers import Sandbox

log = logging.getLogger(__name__)

OPEN_PATH: Final = "/ping"


def build_launcher(settings: LauncherSettings, engine: DockerEngine) -> web.Application:
    """The application; it closes the engine. A handler whose caller has gone finishes its work all the same, as
    half of it would be found and finished by the next call anyway."""
    launcher = _Launcher(settings, engine)
    app = web.Application(middlewares=[_errors_as_json, launcher.guard])
    app.cleanup_ctx.append(launcher.engine_open)
    app.router.add_get(OPEN_PATH, launcher.ping)
    app.router.add_get("/fingerprint", launcher.fingerprint)
    app.router.add_put("/gateways", launcher.join)
    app.router.add_get("/disk", launcher.disk)
    app.router.add_get("/sandboxes", launcher.list)
    app.router.add_put("/sandboxes/{session}", launcher.ensure)
    app.router.add_get("/sandboxes/{session}", launcher.status)
    app.router.add_delete("/sandboxes/{session}", launcher.delete)
    return app


class _Launcher:
    def __init__(self, settings: LauncherSettings, engine: DockerEngine) -> None:
        self._secrets = [
            secret.encode()
            for secret in (settings.launcher_secret, settings.launcher_secret_accepted)
            if secret
        ]
        self._fingerprint = spec.fingerprint(settings)
        self._engine = engine
        self._disk = _disk_watch(settings, engine)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def engine_open(self, _: web.Application) -> AsyncIterator[None]:
        """`cleanup_ctx` of the engine, and of who looks after the published port, the sandboxes' networks and the
        disk."""
        watching = [
            asyncio.create_task(look_forever(self._engine.look_at_door), name="door"),
            asyncio.create_task(mend_forever(self._engine, self._lock), name="networks"),
            asyncio.create_task(self._disk.watch_forever(), name="disk"),
        ]
        yield
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)
        await self._engine.close()

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The caller is the gateway, and says no more than a session's id."""
        if request.path == OPEN_PATH:
            return await handler(request)
        scheme, _, secret = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        told = _bytes(secret.strip())
        if scheme.lower() != "bearer" or not any(hmac.compare_digest(told, ours) for ours in self._secrets):
            raise errors.Unauthorized("The launcher wants its secret (VF_LAUNCHER_SECRET) as a bearer token.")
        if request.body_exists:
            raise errors.BadRequest("The launcher takes no body: what a sandbox is, its own settings say.")
        if set(request.query) - ({"volumes"} if request.method == hdrs.METH_DELETE else set()):
            raise errors.BadRequest("The launcher takes no parameters but `volumes=1` of DELETE.")
        if not RUN_ID.fullmatch(request.match_info.get("session", "-")):
            raise errors.BadRequest("The session's id is malformed.", field="sessionId")
        return await handler(request)

    async def ping(self, _: web.Request) -> web.Response:
        """Alive; says nothing of the engine."""
        return web.json_response({"status": "ok"})

    async def fingerprint(self, _: web.Request) -> web.Response:
        """`{fingerprint}` of the sandboxes that this launcher makes."""
        return web.json_response({"fingerprint": self._fingerprint})

    async def join(self, _: web.Request) -> web.Response:
        """Put every gateway that runs on the networks of all sandboxes: one that starts asks so. `{joined}`."""
        return web.json_response({"joined": await self._engine.join_gateways()})

    async def disk(self, _: web.Request) -> web.Response:
        """How the disk of the engine's machine is (`DiskWatch.told`)."""
        return web.json_response(disk_to_json(self._disk.told()))

    async def list(self, _: web.Request) -> web.Response:
        """`{sandboxes: [...]}` of the stack."""
        return web.json_response({"sandboxes": [to_json(sandbox) for sandbox in await self._engine.list()]})

    async def ensure(self, request: web.Request) -> web.Response:
        """The sandbox's JSON, once its container runs; its agent server may still be starting."""
        session = request.match_info["session"]
        async with self._lock(session):
            found = await self._ensured(session, named=NAME_START in request.headers)
            return web.json_response(to_json(found))

    async def _ensured(self, session: str, *, named: bool) -> Sandbox:
        try:
            self._disk.refuse(session)
        except errors.SandboxUnstartable:
            # One that runs is no new work, and is held to what it may have while it runs.
            sandbox = await self._engine.status(session)
            if sandbox.state is not SandboxState.RUNNING:
                raise
            return sandbox
        sandbox = await self._engine.ensure(session, named=named)
        self._disk.started()
        return sandbox

    async def status(self, request: web.Request) -> web.Response:
        """The sandbox's JSON; of one that nobody knows: absent."""
        return web.json_response(to_json(await self._engine.status(request.match_info["session"])))

    async def delete(self, request: web.Request) -> web.Response:
        """Stop; with `volumes=1` delete. 204, also when there was nothing."""
        session = request.match_info["session"]
        volumes = request.query.get("volumes", "0")
        if volumes not in ("0", "1"):
            raise errors.BadRequest("`volumes` must be 0 or 1.", field="volumes")
        async with self._lock(session):
            await (self._engine.delete(session) if volumes == "1" else self._engine.stop(session))
            if volumes == "1":
                self._disk.deleted(session)
        return web.Response(status=204)

    def _lock(self, session: str) -> asyncio.Lock:
        """One for each session, for as long as anybody holds it or waits for it."""
        lock = self._locks.get(session)
        if lock is None:
            lock = self._locks[session] = asyncio.Lock()
        return lock


def _disk_watch(settings: LauncherSettings, engine: DockerEngine) -> DiskWatch:
    limits = Limits(settings.disk_mb * spec.MIB, settings.disk_inodes, settings.disk_reserve_percent / 100)
    return DiskWatch(
        limits, settings.disk_folder, lambda session: spec.volume_names(settings, session), engine
    )


def _bytes(text: str) -> bytes:
    """A header's own bytes: aiohttp keeps those that are no UTF-8 as surrogates."""
    return text.encode(errors="surrogateescape")


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        if encoding_of(request):
            raise errors.UnsupportedEncoding("The launcher takes no body, and unpacks none.")
        return await handler(request)
    except errors.VaporForgeError as error:
        return web.json_response(error.body(), status=error.status)
    except web.HTTPException as error:
        code = errors.NotFound.code if error.status == errors.NotFound.status else errors.BadRequest.code
        return web.json_response({"error": error.reason, "code": code}, status=error.status)
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        failure = errors.VaporForgeError("The launcher failed; its log says why.")
        return web.json_response(failure.body(), status=failure.status)
