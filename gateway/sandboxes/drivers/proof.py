"""Who gets a sandbox's token must have shown to know it: asked once on each connection, before anything else is sent.

An address may have passed on to another sandbox since somebody learned it. By this that one gets neither the token of
the one before it nor what is said with it: prompts, files.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import hdrs

from container.protocol import is_sandbox_token, server_proof
from gateway.sandboxes.drivers.answers import answers_client

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.tracing import Trace

PROOF_SECONDS: Final = 10.0
"""A frozen agent server takes connections and never answers."""

ANSWER_LIMIT: Final = 2048
"""Bytes of an answer with its head: an agent server's has some 200."""

DIGITS: Final = 64

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r]")
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d{1,6}) *\r\n")


class UnprovenError(OSError):
    """Who answers there did not show to know the sandbox's token, and got nothing."""


def shown_token(authorization: str) -> str:
    """The sandbox's token in an `Authorization` header; empty where it has none."""
    scheme, _, token = authorization.partition(" ")
    return token if scheme == "Bearer" and is_sandbox_token(token) else ""


async def prove(transport: asyncio.Transport, protocol: asyncio.Protocol, token: str) -> None:
    """Have the peer of a connection on which nothing was said show that it knows `token`. The transport has `protocol`
    again behind it. Raises `UnprovenError`; `TimeoutError` after `PROOF_SECONDS`."""
    host, port, *_ = transport.get_extra_info("peername") or ("", 0)
    nonce = secrets.token_hex(16)
    asked = _Asked(protocol)
    transport.set_protocol(asked)
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    transport.write(f"GET /proof?nonce={nonce} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    try:
        async with asyncio.timeout(PROOF_SECONDS):
            said = await asked.answer
    finally:
        transport.set_protocol(protocol)
    if not hmac.compare_digest(said, server_proof(token, nonce, host, port).encode()):
        raise UnprovenError(f"who answers at {name} does not know the sandbox's token")


class ProvenConnector(aiohttp.TCPConnector):
    """Its connections are proven before a request with a sandbox's token is sent on them, and none is used for another
    sandbox's. Other requests it leaves alone."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._proven: WeakKeyDictionary[ResponseHandler, str] = WeakKeyDictionary()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Any:
        """See aiohttp's."""
        token = shown_token(req.headers.get(hdrs.AUTHORIZATION, ""))
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            known = None if protocol is None else self._proven.get(protocol)
            if not token or known == token:
                return connection
            try:
                if known is None and protocol is not None and (transport := connection.transport) is not None:
                    await prove(transport, protocol, token)
                    self._proven[protocol] = token
                    return connection
            except BaseException:
                connection.close()
                raise
            connection.close()  # another sandbox's, which had this address


def proven_client(*, limit: int = 100, timeout: aiohttp.ClientTimeout | None = None) -> aiohttp.ClientSession:
    """An `answers_client` for agent servers; `limit`: of connections at once, 0 is none."""
    return answers_client(connector=ProvenConnector(limit=limit), timeout=timeout)


class _Asked(asyncio.Protocol):
    """`answer`: the body of the one answer, when it is a good one."""

    def __init__(self, behind: asyncio.Protocol) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        self._behind = behind
        self._data = bytearray()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if len(self._data) > ANSWER_LIMIT:
            self._fail("says too much")
        elif end >= 0:
            head, body = bytes(self._data[: end + 2]), bytes(self._data[end + 4 :])
            status, length = _STATUS.match(head), _LENGTH.search(head)
            if status is None or status[1] != b"200" or length is None or int(length[1]) != DIGITS:
                self._fail("does not prove anything")
            elif len(body) > DIGITS:
                self._fail("says more than it was asked")
            elif len(body) == DIGITS and not self.answer.done():
                self.answer.set_result(body)

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._fail("ended the connection")
        self._behind.connection_lost(error)

    def _fail(self, why: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(UnprovenError(f"who answers there {why}, and proves nothing"))
