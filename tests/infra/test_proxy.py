"""The proxy's image on the real engine, in front of small stand-ins for gateways."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from container.protocol import MAX_PROMPT_CHARS
from gateway.launcher.door import Door
from infra.config import ROOT
from tests.conftest import free_port
from tests.infra.test_plugin import base_image  # noqa: F401 - a fixture

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

GATEWAY = r"""
import http.server, json, os, socketserver
READY = "/tmp/ready"
open(READY, "w").close()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    refused = []
    checked = {}

    def handle_one_request(self):
        # As the base class does, but without its limit of 64 KiB to a line.
        self.raw_requestline = self.rfile.readline(2 << 20)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            getattr(self, "do_" + self.command)()

    def do_GET(self):
        if self.headers.get("Upgrade") == "echo":
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "echo")
            self.end_headers()
            while data := self.connection.recv(4096):
                self.connection.sendall(data)
            return
        ready = os.path.exists(READY)
        if self.path.startswith("/refuse"):
            ready = False
            self.refused.append(self.command + " " + self.path)
        if self.path == "/api/ready":
            self.checked.update(self.headers)
        about = {"path": self.path, "refused": self.refused, "headers": dict(self.headers), "checked": self.checked}
        body = json.dumps({"name": os.environ["NAME"], **about}).encode()
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

Server(("", 8080), Handler).serve_forever()
"""


class Bench:
    """A network with gateways on it, and a proxy in front."""

    def __init__(self, engine: docker.DockerClient, image: str, base: str) -> None:
        self.engine, self.image, self.base = engine, image, base
        self.id = secrets.token_hex(6)
        self.network = engine.networks.create(f"vaporforge-proxy-test-{self.id}")
        self.containers: list[Any] = []
        self.folder = Path(tempfile.mkdtemp(prefix="vaporforge-proxy-test-"))
        self.folder.chmod(0o755)

    def gateway(self, name: str) -> Any:
        # Not started on the network but joined to it, as the deployment does, for the name that they share.
        container = self.engine.containers.create(
            self.base, ["python3", "-c", GATEWAY], environment={"NAME": name}
        )
        self.containers.append(container)
        self.engine.networks.get("bridge").disconnect(container)
        self.network.connect(container, aliases=["gateway"])
        container.start()
        return container

    def proxy(self, labels: dict[str, str] | None = None, **environ: str) -> int:
        """`environ`: a secret's is put into a file, and the variable names that."""
        port = free_port()
        secrets = {
            name: environ.pop(name) for name in ("VF_PROXY_SECRET", "VF_TLS_CERTIFICATE") if name in environ
        }
        for name, value in secrets.items():
            path = self.folder / f"{name.lower()}-{port}"
            path.write_text(value)
            path.chmod(0o444)
            environ[f"{name}_FILE"] = f"/run/secrets/{path.name}"
        container = self.engine.containers.run(
            self.image,
            detach=True,
            volumes={str(self.folder): {"bind": "/run/secrets", "mode": "ro"}},
            environment=environ,
            labels=labels,
            network=self.network.name,
            ports={"8080/tcp": ("127.0.0.1", port)},
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            tmpfs={"/run/proxy": "rw,noexec,nosuid,nodev,size=1m,mode=0700,uid=1000,gid=1000"},
        )
        self.containers.append(container)
        return port

    def close(self) -> None:
        for container in self.containers:
            container.remove(force=True, v=True)
        self.network.remove()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def image(base_image: str) -> str:  # noqa: F811 - the fixture
    tag = "vaporforge-proxy-test:1"
    script = (
        '. scripts/lib/env.sh && DOCKER_BUILDKIT=1 docker build -q -t "$0" --build-arg BASE="$1" infra/proxy'
    )
    subprocess.run(["bash", "-c", script, tag, base_image], cwd=ROOT, check=True, timeout=280)
    return tag


@pytest.fixture
def bench(image: str, base_image: str) -> Iterator[Bench]:  # noqa: F811 - the fixture
    engine = docker.from_env()
    bench = Bench(engine, image, base_image)
    yield bench
    bench.close()
    engine.close()


def get(connection: http.client.HTTPConnection, **headers: str) -> dict[str, Any]:
    connection.request("GET", "/api/thing?token=hidden", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, answer.status
    found: dict[str, Any] = json.loads(body)
    return found


def answered(port: int, method: str, path: str) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers (names in lower case) and JSON of one request's answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, json.loads(answer.read())
    finally:
        connection.close()


def eventually(port: int, **headers: str) -> dict[str, Any]:
    """The first good answer; a proxy that has just started does not know its gateways yet."""
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            return get(connection, **headers)
        except (OSError, http.client.HTTPException, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


def test_it_follows_the_gateways_as_they_come_and_go(bench: Bench) -> None:
    first = bench.gateway("one")
    port = bench.proxy()
    assert eventually(port)["name"] == "one"
    bench.gateway("two")
    deadline = time.monotonic() + 60
    while {eventually(port)["name"] for _ in range(8)} != {"one", "two"}:
        assert time.monotonic() < deadline
    # One that drains is asked no more, and a request that reaches it before that is seen is asked of the other.
    first.exec_run(["rm", "/tmp/ready"])
    assert {eventually(port)["name"] for _ in range(20)} == {"two"}
    first.remove(force=True)
    bench.containers.remove(first)
    assert {eventually(port)["name"] for _ in range(8)} == {"two"}


def test_it_says_who_the_client_is_and_leaves_the_host(bench: Bench) -> None:
    bench.gateway("one")
    port = bench.proxy()
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Host": "chat.example:99"}
    headers = eventually(port, **forged)["headers"]
    lower = {key.lower(): value for key, value in headers.items()}
    assert lower["host"] == "chat.example:99"
    assert "6.6.6.6" not in lower["x-forwarded-for"]
    assert lower["x-forwarded-proto"] == "http"


def test_an_upgraded_connection_is_a_tunnel(bench: Bench) -> None:
    bench.gateway("one")
    port = bench.proxy()
    eventually(port)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        peer.sendall(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.recv(4096)
        assert head.startswith(b"HTTP/1.1 101")
        for message in (b"one", b"two" * 1000):
            peer.sendall(message)
            got = b""
            while len(got) < len(message):
                got += peer.recv(65536)
            assert got == message


def test_a_client_that_dawdles_over_its_headers_is_let_go(bench: Bench) -> None:
    bench.gateway("one")
    port = bench.proxy()
    eventually(port)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert peer.recv(4096).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("character", ["a", "\N{OK HAND SIGN}"])
def test_a_prompt_of_the_greatest_length_fits_in_the_url(bench: Bench, character: str) -> None:
    bench.gateway("one")
    port = bench.proxy()
    eventually(port)
    path = (
        f"/api/sdk/ws?{urllib.parse.urlencode({'prompt': character * MAX_PROMPT_CHARS, 'token': 't' * 8192})}"
    )
    status, _, body = answered(port, "GET", path)
    assert status == 200
    assert body["path"] == path


def test_its_own_errors_are_json(bench: Bench) -> None:
    port = bench.proxy()
    deadline = time.monotonic() + 60
    while True:
        try:
            status, headers, body = answered(port, "GET", "/api/version")
            break
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert status == 503
    assert body["code"] == "unavailable"
    assert headers["content-type"] == "application/json"


def test_what_may_have_begun_something_is_not_asked_again(bench: Bench) -> None:
    bench.gateway("one")
    port = bench.proxy()
    eventually(port)
    for method, path, times in (
        ("GET", "/refuse?run=r", 4),
        ("GET", "/refuse?run=r&prompt=p", 1),
        ("POST", "/refuse", 1),
    ):
        status, _, body = answered(port, method, path)
        assert status == 503
        assert body["refused"].count(f"{method} {path}") == times, path


def test_no_token_is_in_its_log(bench: Bench) -> None:
    bench.gateway("one")
    port = bench.proxy()
    eventually(port)
    deadline = time.monotonic() + 60
    while b"/api/thing" not in (log := bench.containers[-1].logs()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert b"hidden" not in log


def certificate(folder: Path) -> tuple[str, ssl.SSLContext]:
    """A chain and its key as one PEM, and a client's context that believes it."""
    key, chain = folder / "key.pem", folder / "chain.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(chain)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return chain.read_text() + key.read_text(), ssl.create_default_context(cafile=str(chain))


def enabled_connect(peer: ssl.SSLSocket) -> bool:
    """Whether an HTTP/2 server's first SETTINGS announce WebSockets over HTTP/2 (RFC 8441 section 3)."""
    peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
    stream = peer.makefile("rb")
    while True:
        head = stream.read(9)
        payload = stream.read(int.from_bytes(head[:3], "big"))
        if head[3] == 4 and not head[4] & 1:
            return any(payload[at : at + 6] == b"\0\x08\0\0\0\x01" for at in range(0, len(payload), 6))


@pytest.mark.parametrize(("asked", "spoken"), [({}, "http/1.1"), ({"VF_HTTP2": "true"}, "h2")])
def test_websockets_go_over_http_1_1_and_requests_over_http_2_when_asked(
    bench: Bench, tmp_path: Path, asked: dict[str, str], spoken: str
) -> None:
    pem, context = certificate(tmp_path)
    context.set_alpn_protocols(["h2", "http/1.1"])
    port = bench.proxy(None, VF_TLS_CERTIFICATE=pem, **asked)
    wait_for(lambda: not refused(port))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as peer,
    ):
        assert peer.selected_alpn_protocol() == spoken
        assert spoken != "h2" or not enabled_connect(peer)


def refused(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            ssl._create_unverified_context().wrap_socket(raw).close()
    except OSError:
        return True
    return False


def test_with_a_certificate_it_speaks_https(bench: Bench, tmp_path: Path) -> None:
    pem, context = certificate(tmp_path)
    bench.gateway("one")
    port = bench.proxy(VF_TLS_CERTIFICATE=pem)
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=5)
        try:
            headers = {name.lower(): value for name, value in get(connection)["headers"].items()}
            break
        except (OSError, http.client.HTTPException, AssertionError):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        finally:
            connection.close()
    assert headers["x-forwarded-proto"] == "https"
    answer = http.client.HTTPSConnection("localhost", port, context=context, timeout=5)
    answer.request("GET", "/api/thing")
    assert answer.getresponse().headers["strict-transport-security"] == "max-age=31536000"
    answer.close()


def proxied(bench: Bench, **environ: Any) -> int:
    """The port of a proxy that has a gateway."""
    bench.gateway("one")
    port = bench.proxy(None, VF_PROXY_SECRET="the-secret", **environ)
    eventually(port)
    return port


def ask(port: int, *lines: bytes, more: bytes = b"") -> tuple[int, bytes]:
    """Status and the whole answer to a request with these further header lines."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        head = b"".join(line + b"\r\n" for line in lines)
        peer.sendall(b"GET /api/thing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + b"\r\n" + more)
        answer = b""
        while data := peer.recv(65536):
            answer += data
    return int(answer.split(b" ", 2)[1]), answer


def about(port: int, *lines: bytes) -> dict[str, Any]:
    """What the gateway says of a request, once it has been checked."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        said: dict[str, Any] = json.loads(ask(port, *lines)[1].partition(b"\r\n\r\n")[2])
        if said["checked"]:
            return said
        time.sleep(0.05)
    raise AssertionError("the gateway was never checked")


def test_it_proves_itself_to_the_gateways_and_nobody_else_can(bench: Bench) -> None:
    port = proxied(bench)
    for forged in ((), (b"X-VaporForge-Proxy: guessed", b"X-Forwarded-For: 6.6.6.6")):
        said = about(port, *forged)
        told, checked = (
            {name.lower(): value for name, value in said[what].items()} for what in ("headers", "checked")
        )
        assert told["x-vaporforge-proxy"] == checked["x-vaporforge-proxy"] == "the-secret"
        assert "6.6.6.6" not in told["x-forwarded-for"]


def test_a_packed_body_goes_no_further(bench: Bench) -> None:
    port = proxied(bench)
    status, answer = ask(port, b"Content-Encoding: gzip", b"Content-Length: 1", more=b"x")
    assert status == 415
    assert b"unsupported-encoding" in answer
    assert ask(port, b"Content-Encoding: identity")[0] == 200


def test_its_own_answers_have_the_security_headers(bench: Bench) -> None:
    port = proxied(bench)
    _, answer = ask(port, b"Content-Encoding: br")
    _, _, body = answer.partition(b"\r\n\r\n")
    lines = answer.lower().split(b"\r\n")
    assert json.loads(body)["code"] == "unsupported-encoding"
    for line in (
        b"x-content-type-options: nosniff",
        b"x-frame-options: deny",
        b"content-security-policy: default-src 'none'; frame-ancestors 'none'",
        b"cache-control: no-store",
    ):
        assert line in lines
    assert not any(line.startswith(b"strict-transport-security") for line in lines)


def test_it_says_itself_that_it_is_reached(bench: Bench) -> None:
    """Without a gateway, from an address with too many connections, and without a line in the log."""
    port = bench.proxy(None, VF_ADDRESS_CONNECTIONS="10")
    wait_for(lambda: no_content(port))
    peers = held(port, 11)
    try:
        assert no_content(port)
    finally:
        for peer in peers:
            peer.close()
    assert b"/proxy" not in bench.containers[-1].logs()


def no_content(port: int) -> bool:
    """Whether `/proxy` is answered with 204, on a connection that then ends."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/proxy")
        answer = connection.getresponse()
        return answer.status == 204 and answer.getheader("Connection") == "close"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def held(port: int, number: int) -> list[socket.socket]:
    """So many connections on which nothing is said."""
    peers = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(number)]
    time.sleep(1)
    return peers


def test_an_address_that_has_too_many_connections_is_told_so_and_then_closed_on(bench: Bench) -> None:
    port = proxied(bench, VF_ADDRESS_CONNECTIONS="20")
    peers = held(port, 22)
    try:
        status, answer = ask(port)
        assert status == 429
        assert b"retry-after: 5" in answer.lower()
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too-many-connections"
        peers += held(port, 10)
        refused = sum(is_closed(peer) for peer in peers)
        assert refused >= 5, refused
    finally:
        for peer in peers:
            peer.close()
    eventually(port)


def test_an_address_that_sends_what_cannot_be_read_is_closed_on_and_written_down_no_more(
    bench: Bench,
) -> None:
    port = proxied(bench, VF_ADDRESS_CONNECTIONS="200")  # 180 in ten seconds
    container = bench.containers[-1]
    answers = [said(port, b"MARK MARK MARK\r\n\r\n") for _ in range(250)]
    assert 180 <= sum(b"400" in answer for answer in answers) <= 190
    assert answers[-1] == b""
    assert container.logs().count(b"<BADREQ>\n") <= 190
    eventually(port)


def said(port: int, request: bytes) -> bytes:
    """What a connection of its own gets for some bytes, until it ends."""
    answer = b""
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", port), timeout=20) as peer,
    ):
        peer.sendall(request)
        while data := peer.recv(65536):
            answer += data
    return answer


def test_idle_connections_do_not_fill_it(bench: Bench) -> None:
    """5,000 of them, as the engine's own proxy in front of it would die of: what is too much is closed at once."""
    port = proxied(bench, VF_CONNECTIONS="200", VF_ADDRESS_CONNECTIONS="10000")
    peers: list[socket.socket] = []
    try:
        for _ in range(1000):
            peers.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            peers[-1].settimeout(0)
        time.sleep(1)
        assert sum(not is_closed(peer) for peer in peers) <= 210
        time.sleep(11)
        assert sum(not is_closed(peer) for peer in peers) == 0
        assert ask(port)[0] == 200
    finally:
        for peer in peers:
            peer.close()


def test_a_connection_between_requests_is_let_go(bench: Bench) -> None:
    port = proxied(bench)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    get(connection)
    began = time.monotonic()
    assert connection.sock.recv(10) == b""
    assert 8 < time.monotonic() - began < 15
    connection.close()


def forwarders(port: int) -> list[int]:
    """The engine's own processes that forward a published port to a container."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"docker-proxy") and str(port).encode() in words:
                found.append(int(folder.name))
    return found


def test_a_forwarder_that_has_died_is_noticed_and_another_one_put_there(bench: Bench) -> None:
    bench.gateway("one")
    stack = f"proxy-test-{bench.id}"
    labels = {"vaporforge.stack": stack}
    port = bench.proxy(labels={**labels, "vaporforge.role": "proxy"})
    eventually(port)
    bench.containers.append(
        bench.engine.containers.run(
            bench.image,
            ["sleep", "infinity"],
            detach=True,
            network_mode="host",
            labels={**labels, "vaporforge.role": "watch"},
            healthcheck={
                "test": ["CMD", "answers", "127.0.0.1", str(port)],
                "interval": 1_000_000_000,
                "timeout": 6_000_000_000,
                "retries": 3,
            },
        )
    )
    looks = itertools.count(step=10.0)
    door = Door(lambda: bench.engine.api, stack, lambda: next(looks))
    watch = bench.containers[-1]
    wait_for(lambda: health_of(watch) == "healthy")
    assert not door.look()
    assert forwarders(port)
    for process in forwarders(port):
        os.kill(process, signal.SIGKILL)
    # Refused, or, where the engine holds the listening socket itself, taken by nobody.
    with pytest.raises(OSError, match=r"refused|reset|timed out"):
        get(http.client.HTTPConnection("127.0.0.1", port, timeout=3))
    wait_for(lambda: health_of(watch) == "unhealthy")
    assert [door.look() for _ in range(3)] == [False, False, True]
    assert eventually(port)["name"] == "one"
    wait_for(lambda: health_of(watch) == "healthy")
    assert not door.look()


def health_of(container: Any) -> str:
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def is_closed(peer: socket.socket) -> bool:
    """Whether the other side has ended the connection."""
    peer.settimeout(0)
    try:
        return peer.recv(4096, socket.MSG_PEEK) == b"" or b"408" in peer.recv(4096)
    except BlockingIOError:
        return False
    except OSError:
        return True
