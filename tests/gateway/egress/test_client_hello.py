"""The server's name in a ClientHello, real ones and hostile ones."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.egress.client_hello import MAX_HELLO, ClientHello, HelloError
from tests.gateway.egress.hellos import extension, hello, message, name_list, real_hello, records

NAME = extension(0, name_list(b"pypi.org"))


def test_a_real_one_names_its_host() -> None:
    reader = ClientHello()
    sent = real_hello("Files.PythonHosted.org")
    assert reader.feed(sent) == "files.pythonhosted.org"
    assert bytes(reader.data) == sent


def test_it_may_come_byte_by_byte() -> None:
    reader = ClientHello()
    sent = real_hello("pypi.org")
    found = [reader.feed(bytes([byte])) for byte in sent]
    assert found[-1] == "pypi.org"
    assert found[:-1] == [None] * (len(sent) - 1)


def test_it_may_be_spread_over_records() -> None:
    whole = message([extension(10, b"\x00" * 40), NAME])
    assert ClientHello().feed(records(whole, size=20)) == "pypi.org"


def test_without_a_name_it_is_refused() -> None:
    with pytest.raises(HelloError, match="no server name"):
        ClientHello().feed(real_hello(None))


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x80\x2e\x01\x00\x02",  # SSLv2's
        records(message([NAME]), kind=23),
        records(message([NAME]), kind=21),
        records(message([NAME]), major=2),
        records(message([NAME], kind=2)),
        b"\x16\x03\x01\x00\x00" + hello(),
        b"\x16\x03\x01\xff\xff",
        records(message([NAME], behind=b"x")),
        records(message([NAME, NAME])),
        records(message([NAME, extension(0, name_list(b"evil.example"))])),
        records(message([extension(0, name_list(b"pypi.org", b"evil.example"))])),
        records(message([extension(0, name_list(b"pypi.org", kind=1))])),
        records(message([extension(0, name_list(b"pypi.org") + b"x")])),
        records(message([extension(0, b"")])),
        records(message([extension(0, b"\x00\x00")])),
        records(message([extension(0, name_list(b""))])),
        records(message([extension(0, name_list(b"10.0.0.1"))])),
        records(message([extension(0, name_list(b"pypi.org\x00.evil.example"))])),
        records(message([extension(0, name_list("bücher.example".encode()))])),
        records(message([NAME[:-1]])),
        records(message([b"\x00"])),
        records(b"\x01" + (MAX_HELLO + 1).to_bytes(3, "big")),
        records(b"\x01\x00\x00\x02\x03\x03"),
        records(message([extension(10, bytes(64)), NAME]), size=1),
    ],
)
def test_what_is_no_good_one_is_refused(sent: bytes) -> None:
    with pytest.raises(HelloError):
        ClientHello().feed(sent)


@given(st.binary(max_size=400))
def test_no_bytes_do_anything_else(sent: bytes) -> None:
    reader = ClientHello()
    with contextlib.suppress(HelloError):
        assert reader.feed(sent) is None


@given(st.data())
def test_a_good_one_with_bytes_changed_names_its_host_or_is_refused(data: st.DataObject) -> None:
    sent = bytearray(hello())
    for _ in range(data.draw(st.integers(1, 4))):
        sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    try:
        name = ClientHello().feed(bytes(sent))
    except HelloError:
        return
    assert name is None or name.encode() in bytes(sent).lower()


def test_it_never_grows_past_what_it_may_have() -> None:
    reader = ClientHello()
    reader.feed(records(b"\x01" + (MAX_HELLO - 4).to_bytes(3, "big") + bytes(1000)))
    for _ in range(15):
        assert reader.feed(records(bytes(100))) is None
    with pytest.raises(HelloError):
        reader.feed(records(bytes(100)))
