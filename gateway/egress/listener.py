"""The proxy that sandboxes ask: it knows whose sandbox asks, judges the host, and pipes bytes to the forward proxy."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gateway import errors
from gateway.egress.answers import CLOSE_SECONDS, ESTABLISHED, Refused, answer, blocked, part
from gateway.egress.asked import MAX_HEAD, Asked, AskedError, read_asked
from gateway.egress.client_hello import UNRECOGNIZED_NAME, ClientHello, HelloError
from gateway.egress.forward import ForwardError, open_forward
from gateway.egress.hosts import BadHost
from gateway.egress.pipe import CHUNK, Passed, pipe, pour
from gateway.egress.policy import Blocked, Policy, policy_of
from gateway.egress.sessions import KnownSessions
from gateway.egress.told import Told

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.config import Settings
    from gateway.egress.told import Tell
    from gateway.model import Session
    from gateway.quotas.service import Quotas, Traffic
    from gateway.store import Store

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 5.0
"""Whether a session's owner still allows a host is looked at again while bytes pass, so often."""


class EgressProxy:
    """One gateway's. `counts`: connections that were opened, blocked, and turned away for a limit's sake; `tell`: what
    is told of a host that was not reached."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        quotas: Quotas,
        tell: Tell,
        counts: Counter[str] | None = None,
        *,
        holder: Callable[[str], Awaitable[str]],
    ) -> None:
        self._settings = settings
        self._policy: Policy = policy_of(settings)
        self._holder_of = holder
        self._sessions = KnownSessions(store)
        self._quotas = quotas
        self._told = Told(tell, asks=self._policy.asks)
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._addresses: Counter[str] = Counter()
        self._holders: Counter[str] = Counter()
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def open(self) -> int:
        """Connections of sandboxes that are open now."""
        return len(self._open)

    async def start(self, host: str, port: int) -> int:
        """Listen; the port, which is chosen for 0."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=MAX_HEAD)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, seconds: float) -> None:
        """Take no more, and give what is open `seconds` to end. May be called twice."""
        if self._server is not None:
            self._server.close()
        if self._open:
            await asyncio.wait(self._open, timeout=seconds)
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=CLOSE_SECONDS)
        await self._told.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        full = len(self._open) >= self._settings.egress_connections
        if full or self._addresses[address] >= self._settings.sandbox_egress_connections:
            self.counts["turnedAway"] += 1
            writer.write(answer(429, "too many connections are open through this proxy; close some"))
            writer.close()
            return
        self._addresses[address] += 1
        task = asyncio.create_task(self._connected(reader, writer, address))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, errors.VaporForgeError) as error:
            log.info("egress: a connection was cut: %s", str(error) or type(error).__name__)
            writer.transport.abort()
        except asyncio.CancelledError:  # the gateway drains
            writer.transport.abort()
            raise
        except Exception:
            log.exception("egress: a connection failed")
            writer.transport.abort()
        finally:
            try:
                await part(reader, writer)
            finally:
                self._addresses[address] -= 1
                if not self._addresses[address]:
                    del self._addresses[address]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection."""
        try:
            asked = await self._asked(reader)
            session = await self._holder(asked.token)
            known = await self._known(session)
            if self._holders[session] >= self._settings.sandbox_egress_connections:
                self.counts["turnedAway"] += 1
                raise Refused(
                    429, "this sandbox has too many connections open through this proxy; close some"
                )
            self._holders[session] += 1
            try:
                traffic = await self._traffic(known.owner)
                try:
                    await self._forward(asked, session, known.egress_hosts, traffic, reader, writer)
                finally:
                    traffic.end()
            finally:
                self._holders[session] -= 1
                if not self._holders[session]:
                    del self._holders[session]
        except Refused as refused:
            writer.write(answer(refused.status, refused.sentence))

    async def _traffic(self, owner: str) -> Traffic:
        """What counts a connection's bytes. A limit that is met later cuts it: an answer then would be taken for what
        the host says."""
        try:
            return await self._quotas.egress(owner)
        except errors.TooMany as error:
            self.counts["turnedAway"] += 1
            raise Refused(429, error.message) from error

    async def _holder(self, token: str) -> str:
        """The session whose sandbox has this key now: as the broker has it."""
        try:
            return await self._holder_of(token)
        except errors.Unauthorized:
            raise Refused(407, "the proxy takes this sandbox's key at the broker as its password") from None
        except errors.Unavailable as error:
            raise Refused(503, error.message) from error

    async def _asked(self, reader: asyncio.StreamReader) -> Asked:
        try:
            async with asyncio.timeout(self._settings.head_seconds):
                return read_asked(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("it ended within a request's head") from error
        except (asyncio.LimitOverrunError, AskedError, BadHost) as error:
            sentence = "the head is too long" if isinstance(error, asyncio.LimitOverrunError) else str(error)
            raise Refused(400, sentence) from error

    async def _known(self, session: str) -> Session:
        try:
            return await self._sessions.get(session)
        except errors.SessionNotFound:
            raise Refused(403, "this sandbox's session is no more") from None
        except errors.StoreUnavailable:
            raise Refused(503, "the session cannot be looked up now; try again") from None

    async def _forward(
        self,
        asked: Asked,
        session: str,
        allowed: tuple[str, ...],
        traffic: Traffic,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        verdict = self._policy.judge(asked.host, asked.port, tunnel=asked.tunnel, allowed=allowed)
        if verdict.blocked is not None:
            raise self._blocked(session, asked, verdict.blocked)
        passed = traffic.passed if not verdict.own else self._while_allowed(session, asked.host, traffic)
        try:
            forward = await open_forward(self._settings.egress_proxy)
        except ForwardError as error:
            raise Refused(502, str(error)) from error
        try:
            try:
                answer = await forward.ask(asked.forward())
            except ForwardError as error:
                raise Refused(502, str(error)) from error
            if answer.denied:
                raise self._blocked(session, asked, Blocked.ADDRESS)
            if verdict.learned:
                self._told.learned(asked.host)
            idle = self._settings.egress_idle_seconds
            if not asked.tunnel:
                self.counts["opened"] += 1
                writer.write(answer.last())
                await pour(forward.reader, writer, idle=idle, passed=passed)
                return
            if answer.status != 200:
                raise Refused(502, f"{asked.host} cannot be reached ({answer.status})")
            writer.write(ESTABLISHED)
            first = await self._named(session, asked, reader, writer)
            if first is not None:
                self.counts["opened"] += 1
                forward.writer.write(first)
                await passed(len(first))
                far = forward.reader, forward.writer
                await pipe((reader, writer), far, idle=idle, passed=passed)
        finally:
            forward.close()

    async def _named(
        self,
        session: str,
        asked: Asked,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bytes | None:
        """What came first, to be sent on, where it is a TLS handshake that names the host that was asked for, or no
        name matters; until then nothing is. Else None, and the client is told so in TLS."""
        if not self._policy.names_matter:
            return b""
        hello, name = ClientHello(), None
        try:
            async with asyncio.timeout(self._settings.head_seconds):
                while name is None:
                    data = await reader.read(CHUNK)
                    if not data:
                        return None
                    name = hello.feed(data)
        except HelloError as error:
            log.info("session %s: egress to %s: %s", session, asked.host, error)
        if name == asked.host:
            return bytes(hello.data)
        self._blocked(session, asked, Blocked.NAME, name)
        writer.write(UNRECOGNIZED_NAME)
        return None

    def _while_allowed(self, session: str, host: str, traffic: Traffic) -> Passed:
        """What `traffic` says, and of a host that only the session's owner has allowed, whether it still is."""
        clock = asyncio.get_running_loop().time
        until = clock() + AGAIN_SECONDS

        async def passed(size: int) -> None:
            nonlocal until
            await traffic.passed(size)
            if clock() < until:
                return
            until = clock() + AGAIN_SECONDS
            with suppress(errors.StoreUnavailable):
                if host not in (await self._sessions.get(session)).egress_hosts:
                    raise errors.Forbidden(f"{host} is allowed no more")

        return passed

    def _blocked(self, session: str, asked: Asked, why: Blocked, host: str | None = None) -> Refused:
        """What the client is told; it is counted, and told to the session's run."""
        self.counts["blocked"] += 1
        self._told.blocked(session, host or asked.host, why)
        return blocked(why, asked.host, asked.port)
