"""What the watch asks the published port: whether anybody is there, be it only to hang up."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from infra.config import ROOT
from tests.conftest import free_port


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        yield listening


def asked(port: int) -> int:
    command = ["bash", str(ROOT / "infra" / "proxy" / "answers"), "127.0.0.1", str(port)]
    return subprocess.run(command, check=False, capture_output=True, timeout=20).returncode


@pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No Content\r\n\r\n", b""])
def test_the_proxy_itself_is_asked(listener: socket.socket, answer: bytes) -> None:
    heard: list[bytes] = []

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            heard.append(peer.recv(4096))
            peer.sendall(answer)

    serving = threading.Thread(target=serve)
    serving.start()
    status = asked(listener.getsockname()[1])
    serving.join()
    assert status == 0
    path = heard[0].split()[1].decode()
    assert path == "/proxy"
    # The proxy answers that before any rule that could refuse it, and before it asks a gateway.
    rules = [
        line.strip()
        for line in (ROOT / "infra" / "proxy" / "haproxy.cfg").read_text().splitlines()
        if line.strip().startswith("http-request")
    ]
    returns = [rule for rule in rules if rule.startswith("http-request return")]
    assert returns[0].startswith("http-request return status 204 ")
    assert returns[0].endswith(f"if {{ path {path} }}")


def test_nobody_there_is_no_answer(listener: socket.socket) -> None:
    assert asked(free_port()) != 0
    # One that takes connections and says nothing: a forwarder that is stuck.
    assert asked(listener.getsockname()[1]) != 0
