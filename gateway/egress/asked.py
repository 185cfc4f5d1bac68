"""What a client of the proxy asks for: the head of its request, taken apart strictly. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from gateway.egress.hosts import host_of
from gateway.egress.policy import HTTP_PORT
from gateway.hops import hops_of

MAX_HEAD: Final = 16 * 1024
"""Bytes of a request's line and headers."""

_LINE: Final = re.compile(r"([A-Z]{3,16}) ([\x21-\x7e]+) HTTP/1\.([01])")
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_AUTHORITY: Final = re.compile(r"([^\s:@/\[\]]+):([0-9]{1,5})")
_ABSOLUTE: Final = re.compile(
    r"http://([^\s/?#@\[\]:]+)(?::([0-9]{1,5}))?(/[^\s#]*|\?[^\s#]*)?", re.IGNORECASE
)

_OURS: Final = frozenset({"host", "content-length", "expect", "x-forwarded-for", "forwarded", "via"})
"""Headers that this proxy says itself, beside those between it and its client."""

_STRANGE: Final = ("x-smokescreen-", "x-upstream-")
"""How headers begin that the stack's forward proxy would act on."""


class AskedError(ValueError):
    """What is no request that this proxy takes; the message says why, for the client."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`tunnel`: a CONNECT; else a plain GET or HEAD, with `target` its path and query, and `headers` to be sent on.
    `token`: the password of its Basic credentials, empty where there are none. `version`: of HTTP, for who speaks 1.0
    reads no answer in chunks."""

    tunnel: bool
    method: str
    host: str
    port: int
    target: str
    headers: tuple[tuple[str, str], ...]
    token: str
    version: str = "1.1"

    def forward(self) -> bytes:
        """The head to ask the stack's forward proxy with: a tunnel, or a request that is the connection's only one."""
        at = f"{self.host}:{self.port}"
        if self.tunnel:
            return f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n".encode()
        name = self.host if self.port == HTTP_PORT else at
        lines = [f"{self.method} http://{name}{self.target} HTTP/{self.version}", f"Host: {name}"]
        lines += [f"{field}: {value}" for field, value in self.headers]
        return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("latin-1")


def read_asked(head: bytes) -> Asked:
    """`head`: all up to the empty line, which it ends with. Raises `AskedError`, and `BadHost` for a bad host."""
    line, *rest = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    found = _LINE.fullmatch(line)
    if found is None:
        raise AskedError("this is no well-formed HTTP request")
    fields = [_field(each) for each in rest]
    method, target = found[1], found[2]
    token = _token([value for name, value in fields if name.lower() == "proxy-authorization"])
    if method == "CONNECT":
        authority = _AUTHORITY.fullmatch(target)
        if authority is None:
            raise AskedError("CONNECT takes a host's name and a port, such as pypi.org:443")
        return Asked(
            tunnel=True,
            method=method,
            host=host_of(authority[1]),
            port=_port(authority[2]),
            target="",
            headers=(),
            token=token,
        )
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise AskedError(
            "this is a proxy: ask it with CONNECT, or for a whole http:// URL without a user's name"
        )
    if method not in ("GET", "HEAD"):
        raise AskedError("plain HTTP is for downloads, GET and HEAD alone: use https")
    if any(name.lower() == "transfer-encoding" for name, _ in fields) or any(
        name.lower() == "content-length" and value.strip() not in ("", "0") for name, value in fields
    ):
        raise AskedError("a download has no body")
    left_out = _OURS | hops_of(value for name, value in fields if name.lower() == "connection")
    path = absolute[3] or "/"
    return Asked(
        tunnel=False,
        method=method,
        host=host_of(absolute[1]),
        port=_port(absolute[2] or str(HTTP_PORT)),
        target=path if path.startswith("/") else f"/{path}",
        headers=tuple(
            (name, value)
            for name, value in fields
            if name.lower() not in left_out and not name.lower().startswith(_STRANGE)
        ),
        token=token,
        version=f"1.{found[3]}",
    )


def _field(line: str) -> tuple[str, str]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise AskedError("a header is malformed")
    return found[1], found[2]


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise AskedError("the port must be 1 to 65535")
    return port


def _token(values: list[str]) -> str:
    """The password of Basic credentials (RFC 7617); clients make them of a proxy's URL."""
    if len(values) != 1:
        return ""
    scheme, _, encoded = values[0].partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
    return pair.partition(":")[2]
