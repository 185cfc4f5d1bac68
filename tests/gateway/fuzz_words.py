"""What fuzzed requests are put together from: methods, paths, headers and values, good ones and awkward ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

METHODS: Final = (b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND")
BAD_METHODS: Final = (b"get", b"G\xffT", b"", b"CONNECT", b"GET" * 400, b"\x00", b"GE T", b"PRI")

VERSIONS: Final = (b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"\xff", b"")

TARGETS: Final = (
    b"*",
    b"http://evil.com/",
    b"http://[::1",
    b"//x//y",
    b"",
    b"/" + b"a" * 70_000,
    b"x",
    b"/" + b"a" * 300 + b".js",
)

PARAMETERS: Final = (
    *(
        "sessionId",
        "token",
        "ticket",
        "prompt",
        "run",
        "after",
        "batch",
        "limit",
        "order",
        "cursor",
        "messageId",
    ),
    *("model", "mode", "idle", "beta"),
)

FIELDS: Final = (
    *(
        "sessionId",
        "prompt",
        "run",
        "after",
        "messageId",
        "title",
        "content",
        "role",
        "message",
        "parts",
        "meta",
    ),
    *("model", "credential", "modelApiKey", "mcpServers", "env", "command", "url", "id", "settings", "text"),
)

VALUES: Final[Sequence[Any]] = (
    *(None, True, False, 0, -1, 1.5, 2**53, 2**64, 10**400, -1e308, "", " ", "x", "a" * 65, "a" * 100_001),
    *(
        "\x00",
        "\x1b[2J",
        "\u202e",
        "\ud800",
        "é",
        "👋" * 300,
        "../../etc/passwd",
        "%00",
        "1e9",
        "-0",
        "٣",
        "9" * 17,
    ),
    *(
        [],
        {},
        [[]],
        {"a": {}},
        ["x"] * 500,
        {"x": "y" * 5000},
        {"": None},
        [None],
        "oldest",
        "newest",
        "\r\nX: y",
    ),
)

AWKWARD: Final = (
    *(
        b"%00",
        b"%ff",
        b"\xff",
        b"\xc3\xa9",
        b"..",
        b"%2e%2e%2f",
        b"//",
        b"%2f",
        b"\\",
        b"%5c",
        b"%",
        b"%zz",
        b"%u0041",
    ),
    *(
        b";a=b",
        b"#x",
        b"?",
        b"\x01",
        b"\x7f",
        b"a" * 300,
        b"a" * 9000,
        b"%f0%9f%91%8b" * 40,
        b"{",
        b"}",
        b"*",
        b"~",
    ),
    *(b".html", b".js", b"@", b":", b"[", b"%0d%0aX:y", b"%ed%a0%80", b"\t"),
)

HOSTS: Final = (
    b"",
    b"a:b",
    b"\xff",
    b"[::1",
    b"x:99999",
    b"a,b",
    b"a b",
    b"evil.com",
    b"localhost:-1",
    b"user@h",
)

ORIGINS: Final = (
    *(
        b"null",
        b"http://[",
        b"http://x:99999",
        b"\xff",
        b"http://\xc3\xa9",
        b"https://evil.com",
        b"",
        b"x" * 4000,
    ),
    *(b"http://localhost", b"://", b"http://[::1]:1", b"http://a@b", b"file://"),
)

ENCODINGS: Final = (
    b"gzip",
    b"deflate",
    b"br",
    b"zstd",
    b"identity",
    b"gzip, gzip",
    b"\xff",
    b"x",
    b"",
    b"GZIP",
)

OTHER_HEADERS: Final = (
    *(b"If-None-Match: *", b'If-None-Match: W/"', b"If-None-Match: \xff", b'If-None-Match: a,b,"c"'),
    *(
        b"If-Modified-Since: \xff",
        b"If-Modified-Since: Mon, 99 Foo 9999 99:99:99 GMT",
        b"Range: bytes=9-1,\xff",
    ),
    *(
        b"Accept-Encoding: gzip;q=\xff",
        b"Accept-Encoding: br, zstd, *",
        b"Cookie: \xff=\xfe; a",
        b'Cookie: =;;="\\',
    ),
    *(
        b"Last-Event-ID: x:1",
        b"Last-Event-ID: :",
        b"Last-Event-ID: \xff:\xff",
        b"Last-Event-ID: a:" + b"9" * 400,
    ),
    *(
        b"Expect: 100-continue",
        b"Expect: \xff",
        b"Expect: 200-ok",
        b"X-Forwarded-For: \xff",
        b"Range: bytes=0-",
    ),
    *(
        b'Forwarded: for="[::',
        b"Connection: authorization, host, x-api-key",
        b"Connection: \xff",
        b"TE: trailers",
    ),
    *(b"Content-Type: \xff", b"Content-Type: text/plain; charset=\xff", b"Content-Type: multipart/form-data"),
    *(
        b"Content-Type: application/json; charset=utf-7",
        b"anthropic-beta: \xff",
        b"Proxy-Authorization: \xff",
    ),
    *(
        b"Upgrade: h2c",
        b"HTTP2-Settings: \xff",
        b"User-Agent: \x1b[2J\xff",
        b"Referer: \xff",
        b"Accept: \xff",
    ),
)
"""RFC 9110 section 5.5 takes bytes above 0x7f for opaque; all of these are read by something."""

BROKEN_HEADERS: Final = (
    *(b"no colon here", b" folded", b"X\xff: y", b": empty", b"X : y", b"X:\x00", b"X-Big: " + b"b" * 17_000),
    *(b"anthropic-version: " + b"x" * 9000, b"Transfer-Encoding: x", b"X: a\rb"),
)

SOCKET_HEADERS: Final = {
    b"Sec-WebSocket-Key": (b"dGhlIHNhbXBsZSBub25jZQ==", b"", b"x", b"\xff", b"a" * 5000),
    b"Sec-WebSocket-Version": (b"13", b"", b"12", b"\xff", b"13, 8", b"9" * 5000),
    b"Sec-WebSocket-Protocol": (
        b"vaporforge",
        b"\xff",
        b"vaporforge, \xff",
        b"vaporforge, a.b.c",
        b",,,",
        b"a" * 9000,
    ),
    b"Sec-WebSocket-Extensions": (b"permessage-deflate", b"permessage-deflate; \xff", b'x; y="', b"\xff"),
}


OFFERS: Final = (b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions")
"""Those of a handshake that a client may leave out."""
