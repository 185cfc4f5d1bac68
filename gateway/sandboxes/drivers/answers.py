"""HTTP answers of sandboxes and of the launcher: so many bytes and no more, as they came, as JSON of little depth."""

from __future__ import annotations

from typing import Any, Final

import aiohttp
import orjson
from aiohttp import hdrs

from gateway import errors

HEAD_LINE_BYTES: Final = 4096
"""Longest status line or header of an answer: the agent server's own are below 200 bytes."""

HEADERS: Final = 64
"""Most headers of an answer; a trailer's count too."""


def answers_client(
    *, connector: aiohttp.TCPConnector | None = None, timeout: aiohttp.ClientTimeout | None = None
) -> aiohttp.ClientSession:
    """A client for peers that are not believed: it unpacks nothing, keeps no cookie, follows no redirect and takes a
    head of bounded size. Raises `SandboxUnavailable` for an answer that is encoded or leads elsewhere."""
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout or aiohttp.ClientTimeout(total=60, sock_connect=10),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={hdrs.ACCEPT_ENCODING: "identity"},
        auto_decompress=False,
        max_line_size=HEAD_LINE_BYTES,
        max_field_size=HEAD_LINE_BYTES,
        max_headers=HEADERS,
        middlewares=(_refuse_odd,),
    )


async def _refuse_odd(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """`ws_connect` would follow a redirect, into networks that only gateways reach; it has no argument against that."""
    response = await handler(request)
    try:
        check_plain(response)
        if 300 <= response.status < 400:
            raise errors.SandboxUnavailable(f"The sandbox answered with status {response.status}.")
    except errors.SandboxUnavailable:
        response.close()
        raise
    return response


def check_plain(response: aiohttp.ClientResponse) -> None:
    """Raises `SandboxUnavailable` for an encoded body: nobody asked for one, and few bytes may be many."""
    encoding = response.headers.get(hdrs.CONTENT_ENCODING, "")
    if encoding.lower() not in ("", "identity"):
        raise errors.SandboxUnavailable("An answer is encoded (Content-Encoding), which nobody asked for.")


async def read_bytes(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body. Raises `SandboxUnavailable` when it has more than `limit` bytes."""
    check_plain(response)
    body = await read_start(response, limit + 1)
    if len(body) > limit:
        response.close()
        raise errors.SandboxUnavailable(f"An answer has more than {limit} bytes.")
    return body


async def read_start(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The first `limit` bytes of a body; what is behind them is left."""
    body = bytearray()
    while len(body) < limit and (chunk := await response.content.read(limit - len(body))):
        body += chunk
    return bytes(body)


async def read_object(response: aiohttp.ClientResponse, limit: int) -> dict[str, Any]:
    """The body's JSON object. Raises `SandboxUnavailable` for what is none, or too long; orjson takes 1,024 levels and
    no more, so none is too deep for it."""
    try:
        value = orjson.loads(await read_bytes(response, limit))
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise errors.SandboxUnavailable("An answer is no JSON object.")
    return value
