"""The gateway's client of an agent server: one method for each of its routes that the gateway uses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from aiohttp import hdrs
from yarl import URL

from container.protocol import MAX_BATCH_BYTES, MAX_FRAME_BYTES
from gateway import errors
from gateway.sandboxes import file_errors
from gateway.sandboxes.drivers import Sandbox
from gateway.sandboxes.drivers.answers import read_object, read_start
from gateway.sandboxes.drivers.proof import proven_client
from gateway.sandboxes.drivers.ready import PING_BYTES
from gateway.sandboxes.tokens import SandboxTokens
from gateway.sandboxes.upstream import Refused, dial
from gateway.websocket.connection import Connection
from gateway.websocket.messages import Messages
from gateway.websocket.pace import Pace
from gateway.websocket.tunnel import End

RESTORE = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=None)
"""A restore takes as long as its caller allows, who may have to wait for another one's in silence."""

SNAPSHOT = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=60)
"""A snapshot takes as long as its caller allows, and says something every minute: its parts come as they are packed."""

HEAD_SECONDS = 10.0
"""The head of a snapshot's answer comes before anything is packed: a sandbox that is slower with it does not answer."""

SNAPSHOT_CHUNK = 256 * 1024

CALL = aiohttp.ClientTimeout(total=10, connect=3)
"""Every call is small and local; the server bounds a stop to 5 s."""

MESSAGE_LIMIT: Final = MAX_BATCH_BYTES + MAX_FRAME_BYTES
RELAY_MESSAGE_LIMIT: Final = 4 * 1024 * 1024

FILES_SECONDS: Final = 60.0
"""For what is done to files without a body: a folder of many is deleted in some seconds."""

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

TERMINAL_MESSAGE_LIMIT: Final = 64 * 1024
"""Longest message of a terminal, each way."""

TERMINALS_BYTES: Final = 64 * 1024
"""Longest answer about terminals: each has some 200 bytes."""

ERROR_BODY_LIMIT: Final = 16 * 1024
"""Bytes read of an error's body: a sandbox may send one without end."""


TAG: Final = re.compile(r"[0-9a-f]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a sandbox holds, as it comes; `tag` names its content, empty where the sandbox names none."""

    chunks: AsyncIterator[bytes]
    tag: str


def sandbox_client() -> aiohttp.ClientSession:
    """The client that an `AgentClient` needs: see `proven_client`."""
    return proven_client(limit=0, timeout=aiohttp.ClientTimeout(total=None, sock_connect=10))


class AgentClient:
    """Talks to agent servers with the sandbox token of their session, which they have shown to know before.

    Raises `errors.SandboxUnavailable` when the server cannot be reached or is retiring, `RunNotFound`, `CursorAhead`,
    `Conflict` and `BadRequest` as the server answers. `client` must be a `sandbox_client`.
    """

    def __init__(
        self, client: aiohttp.ClientSession, secret: str, pace: Pace | None = None, *, accepted: str = ""
    ) -> None:
        self._client = client
        self._pace = pace or Pace()
        self._tokens = SandboxTokens(client, secret, accepted)

    async def put_pending(self, sandbox: Sandbox, run: str, query: dict[str, Any]) -> None:
        """Leave the query of a run; leaving it again, or for a run that has started, changes nothing."""
        await self._call("PUT", sandbox, f"/pending/{run}", json=query)

    async def signal(self, sandbox: Sandbox, run: str, action: str) -> None:
        """`action`: `stop`, `pause` or `resume`."""
        await self._call("POST", sandbox, f"/runs/{run}/{action}")

    async def egress_blocked(self, sandbox: Sandbox, host: str, reason: str, *, may_allow: bool) -> None:
        """Have the run that is on, if any, be told that `host` was not reached."""
        told = {"host": host, "reason": reason, "mayAllow": may_allow}
        await self._call("POST", sandbox, "/egress-blocked", json=told)

    async def notice(self, sandbox: Sandbox, run: str, frame: dict[str, Any]) -> None:
        """Put a `budget` or an `error` frame into a run that is on. Raises `Conflict` when it is not on."""
        await self._call("POST", sandbox, f"/runs/{run}/notice", json=frame)

    async def retire(self, sandbox: Sandbox, *, idle: float) -> bool:
        """Whether the agent server has been idle for `idle` seconds and takes no queries from now on."""
        try:
            await self._call("POST", sandbox, "/retire", params={"idle": str(idle)})
        except errors.Conflict:
            return False
        return True

    async def jobs_quiet(self, sandbox: Sandbox) -> float | None:
        """For how many seconds the background jobs have neither written nor listened, None where there are none: what
        the sandbox says."""
        async with self._response("GET", sandbox, "/ping") as response:
            quiet: Any = (await read_object(response, PING_BYTES)).get("jobsQuietSeconds")
        return float(quiet) if type(quiet) in (int, float) and quiet >= 0 else None

    async def attach(
        self, sandbox: Sandbox, run: str, *, after: int, batch: bool, recorder: bool = False
    ) -> Messages:
        """A reader of a run that the agent server knows of or has the query of. `recorder`: one that tells its
        watermark, for whose last one the server waits before it closes."""
        params = {"run": run, "after": str(after), "attach": "1"}
        if batch:
            params["batch"] = "1"
        if recorder:
            params["recorder"] = "1"
        name = f"session {sandbox.session} run {run}: {'recorder' if recorder else 'reader'}'s connection"
        upstream = Messages(server=False, limit=MESSAGE_LIMIT, pace=self._pace, name=name)
        await self._dial(upstream, sandbox, f"/ws?{urlencode(params)}")
        return upstream

    @asynccontextmanager
    async def snapshot(
        self, sandbox: Sandbox, *, idle: float | None, known: str = ""
    ) -> AsyncIterator[Snapshot | None]:
        """The snapshot of a sandbox that has been idle for `idle` seconds, or that no run is on in (None); None when
        it is fresh, or as it was when its tag was `known`.

        Raises `Conflict` when it is not idle. What it sends breaks off (`SandboxUnavailable`) when a run begins.
        """
        params = {} if idle is None else {"idle": str(idle)}
        params |= {"unless": known} if known else {}
        async with self._response(
            "GET", sandbox, "/snapshot", params=params, timeout=SNAPSHOT, head=HEAD_SECONDS
        ) as response:
            if response.status == 204:
                yield None
                return
            tag = response.headers.get(hdrs.ETAG, "").strip('"')
            yield Snapshot(_chunks(response), tag if TAG.fullmatch(tag) else "")

    async def restore(self, sandbox: Sandbox, chunks: AsyncIterator[bytes]) -> None:
        """Put a snapshot into a fresh sandbox. Raises `Conflict` when it is not fresh (any more), having waited for
        a restore that was on; `BadRequest` when the snapshot is damaged; what `chunks` raises."""
        broken: list[errors.VaporForgeError] = []

        async def body() -> AsyncIterator[bytes]:
            try:
                async for chunk in chunks:
                    yield chunk
            except errors.VaporForgeError as error:
                broken.append(error)
                raise

        try:
            await self._call("PUT", sandbox, "/snapshot", data=body(), expect100=True, timeout=RESTORE)
        except errors.VaporForgeError as error:
            raise (broken[0] if broken else error) from error

    async def relay(self, sandbox: Sandbox) -> End:
        """A peer of the session's relay, of whose messages none is passed on before it is joined with another."""
        name = f"session {sandbox.session}: sandbox's end of the relay"
        upstream = End(server=False, limit=RELAY_MESSAGE_LIMIT, pace=self._pace, name=name)
        await self._dial(upstream, sandbox, "/relay")
        return upstream

    @asynccontextmanager
    async def files(
        self,
        method: str,
        sandbox: Sandbox,
        target: str,
        *,
        headers: Mapping[str, str] = NO_HEADERS,
        data: Any = None,
        seconds: float | None = FILES_SECONDS,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer of a route about files; `target`: its path and raw query. It must begin within `seconds`, and say
        something every minute. A body that comes in pieces is sent once the sandbox wants it. Raises what
        `file_errors.error_of` makes of a refusal."""
        pieces = {} if data is None or isinstance(data, bytes) else {"expect100": True}
        async with self._response(
            method,
            sandbox,
            target,
            headers=headers,
            data=data,
            timeout=RESTORE if pieces else SNAPSHOT,
            head=seconds,
            error_of=file_errors.error_of,
            **pieces,
        ) as response:
            yield response

    async def terminals(
        self, method: str, sandbox: Sandbox, name: str = "", body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """What the agent server says of its terminals, or of this one, unjudged. Raises `TerminalNotFound`, `Conflict`
        where there are as many as may be."""
        path = f"/terminals/{name}" if name else "/terminals"
        async with self._response(method, sandbox, path, error_of=_terminal_error_of, json=body) as response:
            return {} if response.status == 204 else await read_object(response, TERMINALS_BYTES)

    async def terminal(self, sandbox: Sandbox, name: str, query: Mapping[str, str]) -> Messages:
        """A connection to a terminal. Raises `TerminalNotFound`."""
        upstream = Messages(
            server=False,
            limit=TERMINAL_MESSAGE_LIMIT,
            pace=self._pace,
            name=f"session {sandbox.session}: sandbox's end of a terminal",
            binary=True,
        )
        await self._dial(upstream, sandbox, f"/terminals/{name}?{urlencode(query)}", _terminal_error_of)
        return upstream

    async def _dial(
        self,
        connection: Connection,
        sandbox: Sandbox,
        target: str,
        error_of: Callable[[int, str], errors.VaporForgeError] | None = None,
    ) -> None:
        try:
            await dial(connection, sandbox.host, sandbox.port, target, await self._headers(sandbox))
        except Refused as refused:
            raise (error_of or _error_of)(refused.status, refused.body) from refused
        except (TimeoutError, OSError) as error:
            raise errors.SandboxUnavailable(
                f"The sandbox does not answer ({type(error).__name__})."
            ) from error

    async def _call(self, method: str, sandbox: Sandbox, path: str, **kwargs: Any) -> None:
        async with self._response(method, sandbox, path, **kwargs):
            pass

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        sandbox: Sandbox,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout | None = None,
        head: float | None = None,
        error_of: Callable[[int, str], errors.VaporForgeError] | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        **kwargs: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """`head`: seconds within which the answer must begin, and an error be read. `error_of`: makes an error of a
        status and what was said with it."""
        try:
            async with AsyncExitStack() as stack:
                asked = self._client.request(
                    method,
                    URL(sandbox.url + path, encoded=True),
                    headers={**headers, **await self._headers(sandbox)},
                    timeout=timeout or CALL,
                    allow_redirects=False,
                    **kwargs,
                )
                async with asyncio.timeout(head):
                    response = await stack.enter_async_context(asked)
                    if response.status >= 300:
                        said = await read_start(response, ERROR_BODY_LIMIT)
                        raise (error_of or _error_of)(response.status, said.decode(errors="replace"))
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.SandboxUnavailable(
                f"The sandbox does not answer ({type(error).__name__})."
            ) from error

    async def _headers(self, sandbox: Sandbox) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self._tokens.of(sandbox)}"}


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body of a response. Raises `SandboxUnavailable` when it does not come whole."""
    try:
        async for chunk in response.content.iter_chunked(SNAPSHOT_CHUNK):
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise errors.SandboxUnavailable(f"The snapshot broke off ({type(error).__name__}).") from error


def _error_of(status: int, body: str) -> errors.VaporForgeError:
    if status == 404:
        return errors.RunNotFound("The sandbox does not know this run.")
    if status == 416:
        return errors.CursorAhead(
            "The cursor is past the last frame of this run; read it again from its start."
        )
    if status == 409:
        return errors.Conflict("The sandbox is busy, or the run is not in a state that allows this.")
    if status in {400, 413}:
        return errors.BadRequest(f"The agent server refused the query: {body[:300]}")
    if status == 503 and '"retiring"' in body:
        return errors.SandboxRetiring("The sandbox is being retired.")
    return errors.SandboxUnavailable(f"The sandbox answered with status {status}.")


def _terminal_error_of(status: int, body: str) -> errors.VaporForgeError:
    if status == 404:
        return errors.TerminalNotFound(
            "This session has no such terminal, or not any more.", field="terminal"
        )
    if status == 409:
        return errors.Conflict(
            "This session has as many terminals as it may have at once: close one of them."
        )
    return _error_of(status, body)
