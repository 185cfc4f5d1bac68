"""Requests that a stranger might send: drawn from a seed, near enough to good ones to get behind the first check."""

from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.gateway.fuzz_words import (
    AWKWARD,
    BAD_METHODS,
    BROKEN_HEADERS,
    ENCODINGS,
    FIELDS,
    HOSTS,
    METHODS,
    OFFERS,
    ORIGINS,
    OTHER_HEADERS,
    PARAMETERS,
    SOCKET_HEADERS,
    TARGETS,
    VALUES,
    VERSIONS,
)

WAKING = ("/files", "/file", "/zip", "/search", "/upload", "/terminals")
"""How paths end whose routes wake a sandbox: of 200 sessions each would get one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a listener takes for good. `paths`: method and path with `{session}`, for which `sessions` are put in;
    `busy` are named in queries and bodies, and where a route wakes, and few: each may get a sandbox. `authorization`:
    whole headers."""

    host: bytes
    paths: Sequence[tuple[str, str]]
    sessions: Sequence[str]
    busy: Sequence[str]
    authorization: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`data`: its bytes. `unfinished`: whether a server may wait for more of it. `after_upgrade`: for behind a 101."""

    data: bytes
    unfinished: bool
    after_upgrade: bytes


def draw(known: Known, seed: str) -> Request:
    """The request of a seed: always the same."""
    return _Drawing(known, random.Random(seed)).request()


class _Drawing:
    def __init__(self, known: Known, chance: random.Random) -> None:
        self._known = known
        self._chance = chance
        self._unfinished = False

    def request(self) -> Request:
        chance = self._chance
        method, path = chance.choice(self._known.paths)
        socket = chance.random() < (0.6 if path.endswith("/ws") else 0.1)
        verb = method.encode()
        if chance.random() < 0.12:
            verb = chance.choice(METHODS)
        elif chance.random() < 0.02:
            verb = chance.choice(BAD_METHODS)
            self._unfinished = self._unfinished or verb in (b"", b"CONNECT", b"PRI")
        body = (
            self._body() if chance.random() < (0.85 if method in ("POST", "PUT", "PATCH") else 0.1) else b""
        )
        lines = [*self._host(), *self._authorization(), *self._framing(body, socket)]
        if socket:
            lines += self._socket()
        lines += [chance.choice(OTHER_HEADERS) for _ in range(chance.choice((0, 0, 0, 1, 1, 2)))]
        if chance.random() < 0.04:
            lines.append(chance.choice(BROKEN_HEADERS))
        if chance.random() < 0.2:
            lines.append(b"Origin: " + chance.choice(ORIGINS))
        if chance.random() < 0.01:
            lines += [b"X-Many: 1"] * 300
        chance.shuffle(lines)
        version = b"HTTP/1.1" if chance.random() < 0.97 else chance.choice(VERSIONS)
        first = b" ".join((verb, self._target(path), version))
        sent = b"\r\n".join((first, *lines, b"", body))
        if chance.random() < 0.02:
            sent = self._spoilt(sent)
        return Request(
            data=sent, unfinished=self._unfinished, after_upgrade=chance.randbytes(chance.randrange(60))
        )

    def _target(self, path: str) -> bytes:
        chance = self._chance
        wakes = path.endswith(WAKING) and "{session}" in path
        sessions = self._known.busy if wakes else self._known.sessions
        target = path.replace("{session}", chance.choice(sessions)).encode()
        while chance.random() < 0.15:
            at = chance.randrange(1, len(target) + 1)
            target = target[:at] + chance.choice(AWKWARD) + target[at:]
        socket = path.endswith("/ws")
        pairs = [self._pair() for _ in range(chance.choice((0, 0, 0, 1) if socket else (0, 0, 1, 2, 5)))]
        if socket and chance.random() < 0.9:
            pairs.append(b"sessionId=" + chance.choice(self._known.busy).encode())
        if pairs:
            target += b"?" + b"&".join(pairs)
        if chance.random() < 0.02:
            target = chance.choice(TARGETS)
        return target

    def _pair(self) -> bytes:
        chance = self._chance
        value = chance.choice(VALUES)
        text = value if isinstance(value, str) else json.dumps(value)
        raw = text.encode("utf-8", "surrogatepass")[:3000]
        spelled = b"".join(b"%%%02X" % byte for byte in raw)
        return (
            chance.choice(PARAMETERS).encode()
            + b"="
            + (spelled if chance.random() < 0.85 else chance.choice(AWKWARD))
        )

    def _host(self) -> list[bytes]:
        chance = self._chance
        if chance.random() < 0.94:
            return [b"Host: " + self._known.host]
        return [b"Host: " + chance.choice(HOSTS) for _ in range(chance.randrange(3))]

    def _authorization(self) -> list[bytes]:
        chance = self._chance
        good = chance.choice(self._known.authorization)
        if chance.random() < 0.65:
            return [good]
        name, _, value = good.partition(b": ")
        spoilt = (
            *(
                b"Bearer \xff",
                b"Bearer \xc3\xa9.a.b",
                b"Bearer",
                b"",
                b"Basic \xff",
                b"Bearer a.b.c",
                b"Bearer " + b"x" * 8200,
            ),
            *(
                b"Bearer " + b"y" * 17_000,
                b"Bearer \x00",
                value[:-1],
                value + b"\xff",
                b"\xff " + value,
                b"bearer  " + value,
            ),
            *(b"Bearer " + base64.urlsafe_b64encode(chance.randbytes(40)), value.replace(b".", b"..", 1)),
            *(
                b"Bearer " + b64({"alg": "none"}) + b"." + b64({"sub": 1, "exp": 1e300}) + b".",
                b"Bearer ..",
                value * 2,
            ),
        )
        return [name + b": " + chance.choice(spoilt) for _ in range(chance.choice((0, 1, 1, 1, 2)))]

    def _framing(self, body: bytes, socket: bool) -> list[bytes]:
        chance = self._chance
        lines = [b"Content-Type: application/json"] if body else []
        if body and chance.random() < 0.15:
            lines.append(b"Content-Encoding: " + chance.choice(ENCODINGS))
        if chance.random() < 0.96:
            return [*lines, b"Content-Length: %d" % len(body)] if body or not socket else lines
        self._unfinished = True
        lines.append(
            chance.choice(
                (
                    *(
                        b"Content-Length: -1",
                        b"Content-Length: 1e3",
                        b"Content-Length: 99999999999999999999",
                        b"Content-Length: ",
                    ),
                    *(
                        b"Content-Length: +5",
                        b"Content-Length: %d" % (len(body) + 5),
                        b"Content-Length: 5\r\nContent-Length: 6",
                    ),
                    *(
                        b"Transfer-Encoding: chunked",
                        b"Transfer-Encoding: \xff",
                        b"Transfer-Encoding: gzip, chunked",
                    ),
                    b"Transfer-Encoding: chunked\r\nContent-Length: 3",
                )
            )
        )
        return lines

    def _socket(self) -> list[bytes]:
        chance = self._chance
        good = [b"Upgrade: websocket", b"Connection: Upgrade"]
        good += [name + b": " + values[0] for name, values in SOCKET_HEADERS.items() if name not in OFFERS]
        if chance.random() < 0.5:
            return good
        at = chance.randrange(len(good))
        name = good[at].partition(b":")[0]
        spoilt = chance.choice(
            SOCKET_HEADERS.get(name, (b"\xff", b"websocket, h2c", b"keep-alive, upgrade", b"close"))
        )
        offer = [
            name + b": " + chance.choice(SOCKET_HEADERS[name]) for name in OFFERS if chance.random() < 0.3
        ]
        if chance.random() < 0.3:
            offer.append(OFFERS[0] + b": vaporforge, " + self._known.authorization[0].split()[-1])
        return [*good[:at], name + b": " + spoilt, *good[at + 1 :], *offer]

    def _body(self) -> bytes:
        chance = self._chance
        fields: dict[str, Any] = {
            chance.choice(FIELDS): chance.choice(VALUES) for _ in range(chance.choice((0, 1, 2, 3, 5)))
        }
        if chance.random() < 0.7:
            fields["sessionId"] = chance.choice(self._known.busy)
        if chance.random() < 0.03:
            fields["prompt"] = "echo fuzz"
        good = json.dumps(fields).encode()
        if chance.random() < 0.7:
            return good
        return chance.choice(
            (
                *(
                    b"[" * 5000,
                    b'{"a":' * 3000,
                    b"null",
                    b"[]",
                    b"1",
                    b'"x"',
                    b"{",
                    good[:-1],
                    good + b"x",
                    b"\xef\xbb\xbf" + good,
                ),
                *(
                    b"\xff\xfe",
                    b'{"sessionId": "\xff"}',
                    b'{"title": "\\ud800"}',
                    b'{"a":1e400}',
                    b"NaN",
                    b"\x00" * 50,
                ),
                *(
                    gzip.compress(good),
                    zlib.compress(good),
                    gzip.compress(good)[:-5],
                    chance.randbytes(200),
                    b" " * 2000,
                ),
                b" " * 1_400_000,
                b'{"sessionId":"a","sessionId":"b"}',
            )
        )

    def _spoilt(self, sent: bytes) -> bytes:
        chance = self._chance
        self._unfinished = True
        at = chance.randrange(len(sent))
        into = sent[:at] + chance.randbytes(8) + sent[at:]
        return chance.choice((sent[:at], into, sent.replace(b"\r\n", b"\n"), sent[at:])) or b"\r\n"


def b64(value: Any) -> bytes:
    """A part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")
