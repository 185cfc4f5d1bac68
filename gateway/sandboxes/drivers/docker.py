"""The `docker` driver: asks the launcher, which alone may talk to the Docker engine, and waits for the agent server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from container.protocol import RUN_ID
from gateway import errors
from gateway.sandboxes.drivers import Disk, Sandbox, SandboxState, always
from gateway.sandboxes.drivers.answers import read_object
from gateway.sandboxes.drivers.proof import proven_client
from gateway.sandboxes.drivers.ready import ATTEMPTS, wait_ready
from gateway.sandboxes.drivers.wire import NAME_START, disk_from_json, from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.config import Settings

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 3.0
LOOK_SECONDS: Final = 1.0
DISK_SECONDS: Final = 5.0
STOP_SECONDS: Final = 45.0
"""The launcher's own limits: 5 s to stop, 30 s for each call of the engine."""

JOIN_SECONDS: Final = 60.0
"""A network takes a tenth of a second; those that are left then the launcher goes on with."""

ANSWER_BYTES: Final = 64 * 1024
LIST_BYTES: Final = 16 * 1024 * 1024
"""Longest answers of the launcher: about one sandbox, and about all, some 250 bytes each."""

_LASTING: Final = {kind.code: kind for kind in (errors.SandboxUnstartable, errors.DiskLow, errors.DiskQuota)}
"""Refusals of the launcher that stay what they are."""


class DockerDriver:
    """Sandboxes as containers.

    `ensure` costs one round trip to the launcher and one to the sandbox, and nothing is remembered between calls: an
    address from earlier may by now be another sandbox's, which would be handed this session's token and prompt.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own: aiohttp.ClientSession | None = None
        self.names_starts: Callable[[], bool] = always

    async def ensure(self, session: str, *, occupant: str = "") -> Sandbox:
        """See `Poolable`."""
        seconds = self._settings.start_seconds
        for _ in range(ATTEMPTS):
            sandbox = await wait_ready(
                self._sandbox(await self._call("PUT", session, seconds=seconds)),
                client=self._http(),
                secret=self._settings.sandbox_secret,
                accepted=self._settings.sandbox_secret_accepted,
                look=lambda: self.status(session),
                look_seconds=LOOK_SECONDS,
                seconds=seconds,
                occupant=occupant,
            )
            if sandbox.state is SandboxState.RUNNING:
                return sandbox
            log.warning("session %s: its sandbox ended while it started (%s)", session, sandbox.lost_reason)
        raise errors.SandboxUnavailable(
            f"The sandbox of session {session} ended while it started ({sandbox.lost_reason or sandbox.state}); "
            "its container's log says why."
        )

    async def status(self, session: str) -> Sandbox:
        """See `Driver`."""
        return self._sandbox(await self._call("GET", session, seconds=STOP_SECONDS))

    async def stop(self, session: str) -> None:
        """See `Driver`."""
        await self._call("DELETE", session, seconds=STOP_SECONDS)

    async def delete(self, session: str) -> None:
        """See `Driver`."""
        await self._call("DELETE", session, seconds=STOP_SECONDS, params={"volumes": "1"})

    async def list(self) -> Sequence[Sandbox]:
        """See `Driver`. Why one has ended only `status` tells."""
        found = await self._request("GET", "/sandboxes", seconds=STOP_SECONDS, limit=LIST_BYTES)
        sandboxes = found.get("sandboxes")
        if not isinstance(sandboxes, list):
            raise self._odd("sandboxes must be a list")
        return [self._sandbox(item) for item in sandboxes]

    async def fingerprint(self) -> str:
        """See `Poolable`: the launcher's word."""
        found = await self._request("GET", "/fingerprint", seconds=STOP_SECONDS)
        if not isinstance(found.get("fingerprint"), str):
            raise self._odd("fingerprint must be str")
        return str(found["fingerprint"])

    async def join(self) -> None:
        """See `Joins`: a gateway says that it is here, and the launcher finds those that run."""
        try:
            await self._request("PUT", "/gateways", seconds=JOIN_SECONDS)
        except errors.SandboxUnavailable as error:
            log.warning("the launcher could not put this gateway on the sandboxes' networks yet: %s", error)

    async def disk(self) -> Disk:
        """See `TellsDisk`: the launcher's word."""
        found = await self._request("GET", "/disk", seconds=DISK_SECONDS)
        try:
            return disk_from_json(found)
        except ValueError as error:
            raise self._odd(str(error)) from error

    async def close(self) -> None:
        """See `Driver`."""
        if self._own is not None:
            await self._own.close()
            self._own = None

    def _http(self) -> aiohttp.ClientSession:
        if self._own is None:
            self._own = proven_client()
        return self._own

    def _sandbox(self, data: Any) -> Sandbox:
        try:
            return from_json(data)
        except ValueError as error:
            raise self._odd(str(error)) from error

    def _odd(self, why: str) -> errors.SandboxUnavailable:
        return errors.SandboxUnavailable(
            f"The launcher at {self._settings.launcher_url} answers oddly: {why}."
        )

    async def _call(
        self, method: str, session: str, *, seconds: float, params: dict[str, str] | None = None
    ) -> dict[str, Any]:
        if not RUN_ID.fullmatch(session):
            raise errors.BadRequest("The session's id is malformed.", field="sessionId")
        return await self._request(method, f"/sandboxes/{session}", seconds=seconds, params=params)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        seconds: float,
        params: dict[str, str] | None = None,
        limit: int = ANSWER_BYTES,
    ) -> dict[str, Any]:
        try:
            async with self._http().request(
                method,
                self._settings.launcher_url.rstrip("/") + path,
                params=params,
                headers={
                    "Authorization": f"Bearer {self._settings.launcher_secret}",
                    **({NAME_START: "1"} if method == "PUT" and self.names_starts() else {}),
                },
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS),
                allow_redirects=False,
            ) as response:
                if response.status == 204:
                    return {}
                body = await read_object(response, limit)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise errors.SandboxUnavailable(
                f"The launcher at {self._settings.launcher_url} does not answer ({type(error).__name__})."
            ) from error
        if response.status != 200:
            kind = _LASTING.get(str(body.get("code")), errors.SandboxUnavailable)
            raise kind(str(body.get("error", f"The launcher answered {response.status}.")))
        return body
