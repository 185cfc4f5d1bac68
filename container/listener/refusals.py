"""What a listener allows, and what it says to whom it turns away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web


class Refusal(StrEnum):
    """Why a connection or a request was turned away, as it is counted."""

    CONNECTIONS = "connections"
    ADDRESS = "address"
    HEADS = "heads"
    LONG_HEAD = "longHead"
    SLOW_HEAD = "slowHead"
    SLOW_BODY = "slowBody"
    SLOW_READER = "slowReader"
    MALFORMED = "malformed"
    ENCODED = "encoded"
    USER = "user"
    SANDBOX = "sandbox"


_ANSWERS: Final[Mapping[Refusal, tuple[HTTPStatus, str, str]]] = {
    Refusal.CONNECTIONS: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "overloaded",
        "There are too many connections; try again in a moment",
    ),
    Refusal.ADDRESS: (
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-connections",
        "Too many connections are open from this address; close some, then try again",
    ),
    Refusal.HEADS: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "overloaded",
        "Too many requests are half sent; try again in a moment",
    ),
    Refusal.LONG_HEAD: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "head-too-large",
        "The request's line and headers are too long together",
    ),
    Refusal.SLOW_HEAD: (
        HTTPStatus.REQUEST_TIMEOUT,
        "request-timeout",
        "The request's line and headers did not come in time; send them at once",
    ),
    Refusal.SLOW_BODY: (
        HTTPStatus.REQUEST_TIMEOUT,
        "request-timeout",
        "The request's body came too slowly; send it at once",
    ),
    Refusal.SLOW_READER: (
        HTTPStatus.REQUEST_TIMEOUT,
        "request-timeout",
        "The answers were not read in time; read each at once",
    ),
    Refusal.MALFORMED: (HTTPStatus.BAD_REQUEST, "bad-request", "This is no well-formed HTTP request"),
}

_RETRY: Final = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a listener allows. `connections`: at once, `per_address`: of one peer (0: all of them). A request's line and
    headers: `head_seconds` from their first byte to their last, `line_bytes` and `field_bytes` for the line and for a
    header, `head_bytes` for all of them, `unfinished_bytes` for those of all connections that are not whole yet.
    A body has `body_seconds` (0: no limit), and more at `body_rate` bytes a second.
    `answer_seconds`: how long a client may take nothing of what waits for it (0: no limit).
    `idle_seconds`: between requests."""

    connections: int = 2000
    per_address: int = 0
    head_seconds: float = 10.0
    idle_seconds: float = 20.0
    body_seconds: float = 10.0
    body_rate: int = 16 * 1024
    answer_seconds: float = 0.0
    line_bytes: int = 8190
    field_bytes: int = 8190
    head_bytes: int = 64 * 1024
    unfinished_bytes: int = 64 * 1024 * 1024


def body_of(refusal: Refusal) -> bytes:
    """The JSON of a refusal, as every error has it."""
    _, code, sentence = _ANSWERS[refusal]
    return json.dumps({"error": sentence, "code": code}).encode()


def answer(refusal: Refusal, headers: Mapping[str, str]) -> bytes:
    """The whole answer, as it goes on the wire; it is the connection's last."""
    status, body = _ANSWERS[refusal][0], body_of(refusal)
    lines: dict[str, str] = {
        **headers,
        hdrs.CONTENT_TYPE: "application/json",
        hdrs.CONTENT_LENGTH: str(len(body)),
        hdrs.CONNECTION: "close",
    }
    if status in _RETRY:
        lines[hdrs.RETRY_AFTER] = "1"
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode() + body


def encoding_of(request: web.BaseRequest) -> str:
    """The request's `Content-Encoding`, empty where its body is as it is: nobody here unpacks one."""
    named = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, ())).strip().lower()
    return "" if named == "identity" else named
