"""The addresses of this machine (or container) that a port may be opened at: all but those on sandboxes' networks."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from typing import Final

SIOCGIFADDR: Final = 0x8915
"""An interface's IPv4 address (netdevice(7))."""

EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - what is compared with


def open_hosts(host: str, closed: str) -> list[str]:
    """Where to listen for `host`. `closed`: a network of which no address may be listened at, or empty; where it is set
    and `host` is every address, these are the ones that there are now: those that come later are not listened at."""
    if not closed or host != EVERYWHERE:
        return [host]
    network = ipaddress.IPv4Network(closed)
    return [address for address in addresses() if ipaddress.IPv4Address(address) not in network]


def addresses() -> list[str]:
    """The IPv4 address of each interface that has one."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asked.fileno(), SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # it has none, or went away
                continue
            found.append(socket.inet_ntoa(answer[20:24]))
    return found
