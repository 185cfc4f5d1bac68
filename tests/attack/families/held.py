"""What held when it was first tried, and must go on holding: smuggling, paths that lead out, forged tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from functools import partial

from tests.attack.attack import Attack, Field, Found, counted
from tests.attack.force.material import request, upgrade
from tests.attack.scene import exert

INNER = b"GET /api/version HTTP/1.1\r\nHost: gateway\r\n\r\n"
ALLOWED = ("400", "401", "403", "404", "405", "411", "413", "414", "415", "421", "429", "431", "501", "none")
LINGER_SECONDS = 1.0


def smuggling() -> Sequence[str]:
    """Requests whose length can be read in two ways, another request hidden in each (RFC 9112, section 11.2)."""
    chunked = b"0\r\n\r\n" + INNER
    size = str(len(chunked))
    heads: list[dict[str, str]] = [
        {"Content-Length": size, "Transfer-Encoding": "chunked"},
        {"Transfer-Encoding": "chunked", "Content-Length": "4"},
        {"Transfer-Encoding": "chunked, identity"},
        {"Transfer-Encoding": "identity, chunked, chunked"},
        {"Transfer-Encoding": "xchunked"},
        {"Transfer-Encoding": "chunked\x0b"},
        {"Transfer-Encoding ": "chunked"},
        {"Transfer-Encoding": "\x00chunked"},
        {"Content-Length": "+5"},
        {"Content-Length": "5, 6"},
        {"Content-Length": "0x5"},
        {"Content-Length": "-1"},
        {"Content-Length": "5 5"},
        {"Content-Length": "1_0"},
    ]
    forms = [request("POST", "/nowhere", head, chunked) for head in heads]
    forms += [
        request("POST", "/nowhere", {}, b"")[:-2]
        + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n"
        + chunked,
        request("POST", "/nowhere", {}, b"")[:-2]
        + b"Transfer-Encoding: chunked\r\n\r\n5;\n=x\r\nhello\r\n"
        + chunked,
    ]
    return [form.decode("latin-1") for form in forms]


def folded() -> Sequence[str]:
    """A length in a header of two lines. A proxy may make one line of it (RFC 9112, section 5.2): then no two read it
    in two ways, and what follows is a request of its own."""
    form = (
        request("POST", "/nowhere", {}, b"")[:-2] + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + INNER
    )
    return [form.decode("latin-1")]


def traversal() -> Sequence[str]:
    """Paths that lead out of the page's folder, and CR, LF and NUL in them."""
    targets = [
        "/../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/....//....//etc/passwd",
        "/..\\..\\etc\\passwd",
        "/%5c..%5c..%5cetc",
        "//etc/passwd",
        "/./../../proc/self/environ",
        "/%00/etc/passwd",
        "/client/%2e%2e%2f%2e%2e%2f__main__.py",
        "/..;/etc/passwd",
        "/%c0%ae%c0%ae/etc/passwd",
        "/app.js%0d%0aSet-Cookie:%20x=y",
        "/api/sessions/..%2f..%2fsettings",
        "/api/../api/sessions",
    ]
    return [request("GET", target, {}).decode("latin-1") for target in targets]


def odd() -> Sequence[str]:
    """What a server may stumble over while it reads it: bytes that are no text, names that no file can have."""
    raw = [
        request("GET", "/api/sessions", {"Authorization": "Bearer \xff\xfe"}),
        request("GET", "/api/sessions", {"Authorization": "Bearer \xc3\x28.\xff.\xff"}),
        request("GET", "/v1/models", {"x-api-key": "\xff\xfe"}),
        request("GET", "/v1/models", {"Authorization": "Bearer vfs1.\xff.\xfe"}),
        request("GET", "/v1/models", {"Authorization": "Bearer vfs1.session.\xff\xfe"}),
        request("POST", "/v1/messages", {"Content-Encoding": "\xff", "Content-Length": "2"}, b"{}"),
        request("POST", "/api/sessions", {"Content-Encoding": "gzip", "Content-Length": "2"}, b"{}"),
        request("POST", "/api/sdk/ticket", {"Content-Encoding": "br, \xff", "Content-Length": "2"}, b"{}"),
        request(
            "POST",
            "/api/sessions",
            {"Content-Type": "application/json; charset=\xff", "Content-Length": "2"},
            b"{}",
        ),
        upgrade("/api/sdk/ws?sessionId=x", {"Sec-WebSocket-Protocol": "vaporforge, \xff\xfe"}),
        upgrade("/relay?sessionId=x", {"Sec-WebSocket-Protocol": "\xff"}),
        upgrade("/api/sdk/ws?sessionId=x", {"Origin": "http://\xff:99999999"}),
        request("GET", "/" + "a" * 300, {}),
        request("GET", "/" + "a/" * 3000, {}),
        request("GET", "/%ff%fe", {}),
        request("GET", "/api/sessions/%ff", {}),
        request("GET", "/?%ff=%ff", {"Cookie": "\xff=\xfe"}),
    ]
    return [one.decode("latin-1") for one in raw]


def forged(token: str) -> Sequence[str]:
    """A valid token, changed in every way that once fooled somebody."""
    head, claims, signature = token.split(".")
    said = json.loads(_decoded(claims))
    other = _encoded({**said, "sub": "root"})
    heads = [
        {"alg": "none"},
        {"alg": "None", "typ": "JWT"},
        {"alg": "nOnE"},
        {"alg": "HS384"},
        {"alg": "RS256"},
        {"alg": "ES256"},
        {"alg": ""},
        {"alg": ["HS256"]},
        {"alg": "HS256", "kid": "../../dev/null"},
        {"alg": "HS256", "jku": "http://127.0.0.1:1/keys"},
        {"alg": "HS256", "jwk": {"kty": "oct", "k": ""}},
        {"alg": "HS256", "crit": ["x"], "x": 1},
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
        {},
    ]
    tokens = [f"{_encoded(one)}.{other}.{end}" for one in heads for end in ("", signature)]
    tokens += [
        f"{head}.{other}.{signature}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        f"{head}.{claims}.{signature[:-2]}",
        f"{head}.{claims}.{signature}.{signature}",
        f"{head}.{_encoded({**said, 'exp': 1e300})}.{signature}",
        f"{head}.{'W' * 4000}.{signature}",
        "..",
        "null",
        "A" * 8000,
    ]
    return [
        request("GET", "/api/sessions", {"Authorization": f"Bearer {one}"}).decode("latin-1")
        for one in tokens
    ]


Forms = Callable[[Field], Sequence[str]]


async def try_all(field: Field, *, gate: str, forms: Forms, allowed: Sequence[str]) -> Found:
    """Each is refused, and none is answered twice."""
    asked = forms(field)
    seen = await exert(
        field.scene.gates[gate],
        "fire",
        seconds=max(field.size.seconds, 10.0),
        requests=list(asked),
        count=len(asked),
        rate=100.0,
        linger=LINGER_SECONDS,
    )
    faults = [
        f"{asked[int(index)].splitlines()[0][:60]!r} was answered with {status}"
        for index, status in seen["by_request"].items()
        if status not in allowed
    ]
    if seen["more"]:
        faults.append(f"{seen['more']} hidden requests were answered")
    return Found(f"{len(asked)} forms: {counted(seen['answers'])}", faults)


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _forged(field: Field) -> Sequence[str]:
    return forged(field.headers["Authorization"].removeprefix("Bearer "))


def _listed(
    family: str,
    what: str,
    forms: Forms,
    allowed: Sequence[str],
    gates: Sequence[str] = ("proxy", "public", "broker"),
) -> list[Attack]:
    return [
        Attack(family, f"{what} at {gate}", gate, partial(try_all, gate=gate, forms=forms, allowed=allowed))
        for gate in gates
    ]


ATTACKS = [
    *_listed("odd requests", "bytes that are no text, names too long", lambda _: odd(), (*ALLOWED, "200")),
    *_listed("held before", "smuggling", lambda _: smuggling(), ALLOWED),
    *_listed(
        "held before", "smuggling by a folded header", lambda _: folded(), ALLOWED, ("public", "broker")
    ),
    *_listed("held before", "paths that lead out", lambda _: traversal(), ALLOWED),
    Attack(
        "held before",
        "forged tokens",
        "public",
        partial(try_all, gate="public", forms=_forged, allowed=("401", "429")),
    ),
]
