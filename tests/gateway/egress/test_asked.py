"""Heads of requests to the proxy: what is taken, what is sent on, and what is refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.egress.asked import AskedError, read_asked
from gateway.egress.hosts import BadHost


def credentials(pair: str) -> str:
    return f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}"


def head(line: str, *fields: str) -> bytes:
    return ("\r\n".join([line, *fields]) + "\r\n\r\n").encode("latin-1")


def test_a_tunnel_is_asked_for_by_name_and_port_alone() -> None:
    sent = head(
        "CONNECT PyPI.org:443 HTTP/1.1", "Host: evil.example:443", "X-A: b", credentials("sandbox:t.o.k")
    )
    asked = read_asked(sent)
    assert (asked.tunnel, asked.host, asked.port, asked.token) == (True, "pypi.org", 443, "t.o.k")
    assert asked.forward() == b"CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\n\r\n"


def test_a_download_is_sent_on_whole_but_for_what_is_between_us() -> None:
    asked = read_asked(
        head(
            "GET http://Deb.Debian.org/debian/x?a=%20b HTTP/1.1",
            "Host: evil.example",
            "User-Agent: apt",
            "Range: bytes=5-",
            "Connection: X-Mine, keep-alive",
            "X-Mine: 1",
            "Keep-Alive: 5",
            "Proxy-Connection: keep-alive",
            "X-Smokescreen-Role: admin",
            "X-Upstream-Https-Proxy: http://evil.example",
            "X-Forwarded-For: 10.0.0.1",
            "Content-Length: 0",
            credentials("s:tok"),
        )
    )
    assert (asked.tunnel, asked.host, asked.port, asked.token) == (False, "deb.debian.org", 80, "tok")
    assert asked.forward() == (
        b"GET http://deb.debian.org/debian/x?a=%20b HTTP/1.1\r\nHost: deb.debian.org\r\n"
        b"User-Agent: apt\r\nRange: bytes=5-\r\nConnection: close\r\n\r\n"
    )


def test_who_speaks_http_1_0_is_answered_in_it() -> None:
    """It reads no answer in chunks, so the forward proxy is asked in it, too; a tunnel has no answer."""
    asked = read_asked(head("GET http://deb.debian.org/x HTTP/1.0"))
    assert asked.forward().startswith(b"GET http://deb.debian.org/x HTTP/1.0\r\n")
    tunnel = read_asked(head("CONNECT pypi.org:443 HTTP/1.0"))
    assert tunnel.forward().startswith(b"CONNECT pypi.org:443 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("url", "port", "sent"),
    [
        ("http://a.example", 80, b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n"),
        ("HTTP://a.example:80/x", 80, b"GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n"),
        ("http://a.example:8080/", 8080, b"GET http://a.example:8080/ HTTP/1.1\r\nHost: a.example:8080\r\n"),
        ("http://a.example?x", 80, b"GET http://a.example/?x HTTP/1.1\r\nHost: a.example\r\n"),
    ],
)
def test_urls_of_downloads(url: str, port: int, sent: bytes) -> None:
    asked = read_asked(head(f"GET {url} HTTP/1.1"))
    assert asked.port == port
    assert asked.forward().startswith(sent)


@pytest.mark.parametrize(
    "line",
    [
        *("CONNECT pypi.org HTTP/1.1", "CONNECT pypi.org: HTTP/1.1", "CONNECT pypi.org:0 HTTP/1.1"),
        *("CONNECT pypi.org:65536 HTTP/1.1", "CONNECT pypi.org:443:80 HTTP/1.1", "CONNECT :443 HTTP/1.1"),
        *("CONNECT 10.0.0.1:443 HTTP/1.1", "CONNECT [::1]:443 HTTP/1.1", "CONNECT 2130706433:443 HTTP/1.1"),
        *(
            "CONNECT a@pypi.org:443 HTTP/1.1",
            "CONNECT https://pypi.org:443 HTTP/1.1",
            "CONNECT gateway:443 HTTP/1.1",
        ),
        *("CONNECT pypi.org:443 HTTP/2.0", "CONNECT pypi.org:443", "CONNECT  pypi.org:443 HTTP/1.1", ""),
        *("GET / HTTP/1.1", "GET https://pypi.org/ HTTP/1.1", "GET http://u:p@pypi.org/ HTTP/1.1"),
        *("GET http://10.0.0.1/ HTTP/1.1", "GET http://[::1]/ HTTP/1.1", "GET http:///x HTTP/1.1"),
        *(
            "GET http://pypi.org/#x HTTP/1.1",
            "GET http://pypi.org\\@evil/ HTTP/1.1",
            "GET ftp://pypi.org/ HTTP/1.1",
        ),
        *("POST http://pypi.org/ HTTP/1.1", "PUT http://pypi.org/ HTTP/1.1", "OPTIONS * HTTP/1.1"),
        *("GET http://pypi.org:99999/ HTTP/1.1", "get http://pypi.org/ HTTP/1.1"),
    ],
)
def test_what_is_refused(line: str) -> None:
    with pytest.raises((AskedError, BadHost)):
        read_asked(head(line))


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Length: 5",),
        ("Transfer-Encoding: chunked",),
        ("no colon",),
        ("Name : x",),
        (" folded: x",),
        ("X: a\nY: b",),
        ("X: a\rY: b",),
        ("X: a\x00",),
    ],
)
def test_headers_that_are_refused(fields: tuple[str, ...]) -> None:
    with pytest.raises(AskedError):
        read_asked(head("GET http://pypi.org/ HTTP/1.1", *fields))


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Proxy-Authorization: Bearer x",),
        ("Proxy-Authorization: Basic !!!",),
        ("Proxy-Authorization: Basic",),
        (credentials("s:\xe9"),),
        (credentials("s:a"), credentials("s:b")),
    ],
)
def test_credentials_that_are_none(fields: tuple[str, ...]) -> None:
    assert read_asked(head("CONNECT pypi.org:443 HTTP/1.1", *fields)).token == ""


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_else(sent: bytes) -> None:
    try:
        asked = read_asked(sent + b"\r\n\r\n")
    except (AskedError, BadHost):
        return
    assert asked.forward().count(b"\r\n\r\n") == 1
