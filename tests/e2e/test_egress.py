"""A deployed stack with `egress: registries`: what a sandbox reaches, what it is refused, and what the page says."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.e2e.deployed import Deployed, run_in, visitors
from tests.gateway.stack import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container
    from playwright.async_api import Browser

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1500)]

AGENT = "/opt/venv/bin/python /opt/vaporforge/container/agents/shell_agent.py"

UNLISTED = "ci.example.com"

BY_HTTP = "http://deb.debian.org/debian/dists/bookworm/main/binary-amd64/Packages.xz"
"""Some megabytes: what comes by plain HTTP, where apt's repositories are."""

REBOUND = "rebound.example.com"
"""On the list, and the name of a container of the forward proxy's own network."""

LOAD = "import urllib.request; print(len(urllib.request.urlopen('{}', timeout=60).read()) > 0)"

ASK = f'/opt/venv/bin/python -c "{LOAD}"'

CONNECT = r"""
exec 3<>/dev/tcp/127.0.0.1/4750
printf 'CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n' "$0" "$0" >&3
read -r -t 20 line <&3
echo "$line"
"""
"""What the forward proxy says to a CONNECT, asked from within its own container."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """One whose agent is a shell, and one gateway."""
    made = Deployed("shell", tmp_path_factory.mktemp("egress"))
    shutil.copy(Path(__file__).with_name("shell_agent.py"), made.tree / "container" / "agents")
    settings = ("egress=registries", f"egressAllow={REBOUND}", "gatewayReplicas=1")
    words = [word for setting in settings for word in ("--set", setting)]
    try:
        made.up("--agent", AGENT, "--port", str(made.port), "--secret", "jwtSecret", *words, secret=SECRET)
        yield made
    finally:
        made.destroy()


@pytest.fixture(scope="module")
def forward(stack: Deployed) -> Container:
    [found] = stack.containers("vaporforge.role=egress")
    return found


async def test_a_package_of_a_registry_comes_into_a_sandbox(stack: Deployed, browser: Browser) -> None:
    """By clients that nobody has configured, by TLS and by plain HTTP."""
    async with visitors(stack, browser, "egress-registry") as people:
        ada = await people.person()
        await ada.open()
        pip = "/opt/venv/bin/python -m pip download -q --no-deps --no-cache-dir -d /tmp/got six==1.17.0"
        assert "status 0" in await ada.ask(f"{pip} && ls /tmp/got")
        assert "six-1.17.0" in await ada.answers.last.inner_text()
        assert "True" in await ada.ask(ASK.format(BY_HTTP))
        await expect(ada.see("egress-blocked")).to_have_count(0)


async def test_an_unlisted_host_is_refused_shown_allowed_by_its_owner_and_taken_back(
    stack: Deployed, browser: Browser
) -> None:
    async with visitors(stack, browser, "egress-unlisted") as people:
        ada = await people.person()
        await ada.open()
        ask = ASK.format(f"https://{UNLISTED}/")
        assert "is not on the list" in await ada.ask(ask)
        await expect(ada.see("egress-blocked")).to_have_count(1)
        note = ada.see("egress-blocked").first
        await expect(note).to_contain_text(UNLISTED)
        await ada.page.reload()  # it is recorded
        await expect(note).to_contain_text(UNLISTED)
        button = note.get_by_test_id("allow-host")
        await expect(button).to_have_text("Allow for this session")
        await button.click()
        await expect(note).to_contain_text("Allowed for this session")
        await expect(button).to_have_text("Take back")
        await ada.page.wait_for_timeout(2500)  # what a gateway knows of a session may be two seconds old
        assert "is not on the list" not in await ada.ask(ask)
        await expect(ada.answers.last.get_by_test_id("egress-blocked")).to_have_count(0)
        await ada.page.reload()
        await expect(button).to_have_text("Take back")
        await button.click()
        await expect(button).to_have_text("Allow for this session")
        await ada.page.wait_for_timeout(2500)
        assert "is not on the list" in await ada.ask(ask)


async def test_a_listed_name_that_leads_inside_is_refused(
    stack: Deployed, browser: Browser, forward: Container
) -> None:
    [label] = [item for item in forward.labels if item == "vaporforge.image"]
    network = next(iter(forward.attrs["NetworkSettings"]["Networks"]))
    inside = stack.engine.containers.create(
        forward.labels[label], ["sleep", "600"], labels={"vaporforge.test": stack.id}
    )
    try:
        stack.engine.networks.get(network).connect(inside, aliases=[REBOUND])
        inside.start()
        async with visitors(stack, browser, "egress-rebound") as people:
            ada = await people.person()
            await ada.open()
            assert "no sandbox may reach" in await ada.ask(ASK.format(f"https://{REBOUND}/"))
            note = ada.answers.last.get_by_test_id("egress-blocked")
            await expect(note).to_contain_text("leads to an address")
            await expect(note.get_by_test_id("allow-host")).to_have_count(0)
    finally:
        inside.remove(force=True)


async def test_a_sandbox_has_no_other_way_out(stack: Deployed, browser: Browser) -> None:
    """Neither around the proxy, nor through it without its own token, nor to the forward proxy itself."""
    async with visitors(stack, browser, "egress-around") as people:
        ada = await people.person()
        await ada.open()
        said = await ada.ask(
            "env -u https_proxy -u HTTPS_PROXY " + ASK.format("https://pypi.org/simple/six/")
        )
        assert "status 1" in said
        bare = "http://gateway:3128"
        said = await ada.ask(
            f"https_proxy={bare} HTTPS_PROXY={bare} " + ASK.format("https://pypi.org/simple/six/")
        )
        assert "407" in said
        assert "status 0" not in await ada.ask("getent hosts egress")


@pytest.mark.parametrize(
    "address",
    [
        *(
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "0.0.0.0",
        ),
        *("100.100.100.200", "192.0.0.192", "198.18.0.1", "168.63.129.16", "224.0.0.1", "255.255.255.255"),
        *(
            "::1",
            "fd00:ec2::254",
            "fe80::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "::127.0.0.1",
        ),
    ],
)
def test_no_name_leads_to_an_address_that_is_not_public(
    stack: Deployed, forward: Container, address: str
) -> None:
    with another(stack, forward, extra_hosts={"named.example.com": address}) as made:
        assert run_in(made, "bash", "-c", CONNECT, "named.example.com").split()[1] == "407"
        assert run_in(made, "bash", "-c", CONNECT, "pypi.org").split()[1] == "200"


def test_a_company_s_own_proxy_is_asked_behind_ours(stack: Deployed, forward: Container) -> None:
    asked: list[str] = []

    class Parent(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    network = next(iter(forward.attrs["NetworkSettings"]["Networks"].values()))
    with http.server.ThreadingHTTPServer((network["Gateway"], 0), Parent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        upstream = f"http://{network['Gateway']}:{server.server_port}"
        with another(stack, forward, environment={"VF_UPSTREAM_PROXY": upstream}) as made:
            assert run_in(made, "bash", "-c", CONNECT, "pypi.org").split()[1] == "200"
            assert run_in(made, "bash", "-c", CONNECT, socket.gethostname()).split()[1] != "200"
        server.shutdown()
    assert asked == ["pypi.org:443"]


@contextlib.contextmanager
def another(stack: Deployed, forward: Container, **how: Any) -> Iterator[Container]:
    """A further forward proxy of the stack's image, on the same network."""
    [network] = forward.attrs["NetworkSettings"]["Networks"]
    made = stack.engine.containers.run(
        forward.labels["vaporforge.image"],
        detach=True,
        network=network,
        read_only=True,
        cap_drop=["ALL"],
        **how,
    )
    try:
        until_healthy(made)
        yield made
    finally:
        made.remove(force=True)


def until_healthy(made: Container) -> None:
    """Wait until it answers. Raises `AssertionError` with what it said where it does not."""
    for _ in range(600):
        made.reload()
        if made.attrs["State"]["Status"] == "exited":
            break
        status, _ = made.exec_run(["healthy"])
        if status == 0:
            return
    raise AssertionError(made.logs().decode())
