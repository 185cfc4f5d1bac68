"""DynamoDB Local as scripts/dynamodb starts it: it asks nobody who they are, so nobody from elsewhere reaches it."""

from __future__ import annotations

import socket
import urllib.parse
from pathlib import Path

import pytest

LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp (proc(5))."""

LOOPBACK = frozenset({"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"})
"""127.0.0.1, the same as IPv6 has it, and ::1, as the kernel shows them on a little-endian machine."""


def listens_at(port: int) -> set[str]:
    """The local addresses of whatever listens on the port."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.rpartition(":")
            if state == LISTENING and int(number, 16) == port:
                found.add(address)
    return found


def test_it_listens_on_the_loopback_alone(dynamodb_endpoint: str) -> None:
    port = urllib.parse.urlsplit(dynamodb_endpoint).port
    assert port is not None
    found = listens_at(port)
    assert found
    assert found <= LOOPBACK
    # Stands for the machine's address in its network: another one than was asked for.
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), 5):
        pass
