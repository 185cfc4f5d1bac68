"""The launcher: what it refuses, what it answers without an engine, and on a real one how a sandbox is confined."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import docker
import pytest
import requests
from aiohttp import web
from docker import errors as docker_errors

from container.listener.runner import Listener
from gateway import errors
from gateway.config import ConfigError, Settings
from gateway.launcher import spec
from gateway.launcher.app import build_launcher
from gateway.launcher.containers import Containers
from gateway.launcher.disk.running import RunningContainers
from gateway.launcher.engine import Client as EngineClient
from gateway.launcher.engine import DockerEngine
from gateway.launcher.networks import Networks
from gateway.launcher.serve import LIMITS
from gateway.launcher.settings import read_launcher_settings
from gateway.sandboxes.drivers.docker import DockerDriver
from tests.conftest import ROOT, free_port
from tests.gateway.sandboxes.drivers.docker_bench import DockerBench, agent_image
from tests.gateway.sandboxes.drivers.driver_conformance import Probe, probe, session, until_stopped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.launcher.settings import LauncherSettings

__all__ = ["agent_image", "probe", "session"]

SECRET = "l" * 32
ENVIRON = {
    "VF_STACK": "dev",
    "VF_LAUNCHER_SECRET": SECRET,
    "VF_SANDBOX_SECRET": "s" * 32,
    "VF_SANDBOX_IMAGE": "agent:1",
    "VF_SANDBOX_NETWORKS": "10.213.0.0/16",
}

on_docker = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.timeout(600)]


def test_settings_are_read_with_their_defaults() -> None:
    settings = read_launcher_settings({**ENVIRON, "VF_SANDBOX_CPUS": "1.5", "VF_PORT": ""})
    assert (settings.stack, settings.image, settings.cpus, settings.port) == ("dev", "agent:1", 1.5, 8090)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VF_STACK", ""),
        ("VF_STACK", "a/b"),
        ("VF_LAUNCHER_SECRET", "short"),
        ("VF_SANDBOX_SECRET", "short"),
        ("VF_SANDBOX_IMAGE", ""),
        ("VF_SANDBOX_NETWORKS", " "),
        ("VF_SANDBOX_NETWORKS", "10.213.0.1/16"),
        ("VF_SANDBOX_NETWORKS", "a network"),
        ("VF_SANDBOX_NETWORK_PREFIX", "30"),
        ("VF_SANDBOX_NETWORK_PREFIX", "15"),
        ("VF_SANDBOX_FROM_HOST", "yes"),
        ("VF_SANDBOX_MEMORY_MB", "12"),
        ("VF_SANDBOX_MEMORY_MB", "2.5"),
        ("VF_SANDBOX_CPUS", "nan"),
        ("VF_SANDBOX_CPUS", "inf"),
        ("VF_SANDBOX_PIDS", "-1"),
        ("VF_SANDBOX_DISK_MB", "-1"),
        ("VF_SANDBOX_INODES", "many"),
        ("VF_DISK_RESERVE_PERCENT", "51"),
        ("VF_DISK_FOLDER", "volumes"),
        ("VF_PORT", "http"),
    ],
)
def test_a_bad_setting_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        read_launcher_settings({**ENVIRON, variable: value})


def test_a_sandbox_yields_processor_and_memory_to_the_stack_s_own_parts() -> None:
    api = docker.APIClient("tcp://127.0.0.1:1", version="1.41")  # never connected to
    host = spec.create_arguments(api, read_launcher_settings(ENVIRON), "s1", "")["host_config"]
    api.close()
    assert 0 < host["CpuShares"] < 1024
    assert 0 < host["OomScoreAdj"] <= 1000


class Client:
    """The launcher in this process, with a Docker engine that is away."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self.url = url

    async def ask(self, method: str, path: str, *, secret: str = SECRET, **kwargs: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        async with self._http.request(method, self.url + path, headers=headers, **kwargs) as response:
            return response.status, None if response.status == 204 else await response.json()


@pytest.fixture
async def engineless(tmp_path: Path) -> AsyncIterator[Client]:
    settings = replace(read_launcher_settings(ENVIRON), docker_url=f"unix://{tmp_path}/docker.sock")
    runner = Listener(build_launcher(settings, DockerEngine(settings)), LIMITS)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield Client(http, f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


ROUTES = [
    ("PUT", "/sandboxes/a"),
    ("GET", "/sandboxes/a"),
    ("DELETE", "/sandboxes/a"),
    ("GET", "/sandboxes"),
    ("PUT", "/gateways"),
]


@pytest.mark.parametrize(("method", "path"), [*ROUTES, ("GET", "/fingerprint"), ("GET", "/disk")])
@pytest.mark.parametrize("secret", ["", "wrong", SECRET + "l", SECRET[:-1], "é"])
async def test_every_route_wants_the_secret(engineless: Client, method: str, path: str, secret: str) -> None:
    status, body = await engineless.ask(method, path, secret=secret)
    assert (status, body["code"]) == (401, "unauthorized")


async def test_ping_is_open(engineless: Client) -> None:
    assert await engineless.ask("GET", "/ping", secret="") == (200, {"status": "ok"})


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("body", [{"image": "mine"}, {}, []])
async def test_a_body_is_refused(engineless: Client, method: str, path: str, body: object) -> None:
    status, answer = await engineless.ask(method, path, json=body)
    assert (status, answer["code"]) == (400, "bad-request")
    assert "no body" in answer["error"]


async def test_what_a_sandbox_would_be_is_told_without_an_engine(engineless: Client) -> None:
    status, body = await engineless.ask("GET", "/fingerprint")
    assert (status, body) == (200, {"fingerprint": spec.fingerprint(read_launcher_settings(ENVIRON))})
    assert (await engineless.ask("GET", "/fingerprint", json={}))[0] == 400


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("VF_SANDBOX_SECRET", "t" * 32),
        ("VF_SANDBOX_IMAGE", "agent:2"),
        ("VF_SANDBOX_NETWORKS", "10.9.0.0/16"),
        ("VF_EGRESS_PROXY", "http://gateway:3128"),
        ("VF_SANDBOX_MEMORY_MB", "512"),
        ("VF_SANDBOX_CPUS", "1"),
        ("VF_SANDBOX_PIDS", "64"),
        ("VF_BROKER_URL", "http://another:1"),
        ("VF_AGENT", "claude"),
        ("VF_MODEL", "another"),
        ("VF_REDACT", "false"),
        ("VF_SANDBOX_RUNTIME", "runsc"),
    ],
)
def test_whatever_a_sandbox_is_made_of_is_in_its_fingerprint(variable: str, value: str) -> None:
    before, after = (
        spec.fingerprint(read_launcher_settings(env)) for env in (ENVIRON, {**ENVIRON, variable: value})
    )
    assert before != after
    assert ENVIRON["VF_SANDBOX_SECRET"] not in before


async def test_a_packed_body_is_refused(engineless: Client) -> None:
    async with engineless._http.put(
        engineless.url + "/sandboxes/a", headers={"Content-Encoding": "br"}
    ) as answer:
        assert (answer.status, (await answer.json())["code"]) == (415, "unsupported-encoding")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/sandboxes/a?image=mine"),
        ("PUT", "/sandboxes/a?volumes=1"),
        ("GET", "/sandboxes?all=1"),
        ("PUT", "/gateways?network=mine"),
        ("DELETE", "/sandboxes/a?force=1"),
        ("DELETE", "/sandboxes/a?volumes=yes"),
        ("PUT", "/sandboxes/" + "a" * 65),
        ("PUT", "/sandboxes/a%20b"),
        ("PUT", "/sandboxes/..%2fa"),
        ("DELETE", "/sandboxes/%C3%A4?volumes=1"),
    ],
)
async def test_what_it_does_not_take_is_refused(engineless: Client, method: str, path: str) -> None:
    status, body = await engineless.ask(method, path)
    assert (status, body["code"]) == (400, "bad-request")


async def test_other_routes_do_not_exist(engineless: Client) -> None:
    assert (await engineless.ask("GET", "/containers/json"))[0] == 404
    assert (await engineless.ask("POST", "/sandboxes/a"))[0] == 405
    assert (await engineless.ask("PUT", "/gateways/mine"))[0] == 404


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_an_engine_that_is_away_is_a_503_with_a_sentence(
    engineless: Client, method: str, path: str
) -> None:
    status, body = await engineless.ask(method, path)
    assert (status, body["code"]) == (503, "sandbox-unavailable")
    assert "Docker engine does not answer" in body["error"]


async def test_the_driver_passes_the_launchers_sentence_on(engineless: Client) -> None:
    settings = Settings(
        stack="dev",
        jwt_secret="j" * 32,
        sandbox_secret="s" * 32,
        credential_key="c" * 32,
        launcher_url=engineless.url,
        launcher_secret=SECRET,
    )
    for told, sentence in (
        (settings, "Docker engine does not answer"),
        (replace(settings, launcher_secret="wrong"), "VF_LAUNCHER_SECRET"),
        (replace(settings, launcher_url=f"http://127.0.0.1:{free_port()}"), "launcher at .* does not answer"),
    ):
        driver = DockerDriver(told)
        for call in (
            driver.ensure("a"),
            driver.status("a"),
            driver.stop("a"),
            driver.delete("a"),
            driver.list(),
        ):
            with pytest.raises(errors.SandboxUnavailable, match=sentence):
                await call
        await driver.close()


async def test_a_secret_that_is_no_utf_8_is_a_wrong_one(engineless: Client) -> None:
    address = urlsplit(engineless.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        request = b"GET /sandboxes HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer \xff\xfe\r\n\r\n"
        writer.write(request)
        assert (await reader.readline()).split()[1] == b"401"
    finally:
        writer.close()
        await writer.wait_closed()


class FakeApi:
    """The Docker SDK's client, with an engine of one CPU."""

    def __init__(self) -> None:
        self.joined: list[tuple[str, str]] = []
        self.created: list[dict[str, Any]] = []
        self.removed: list[str] = []
        self.started: list[str] = []
        self.listed: list[dict[str, Any]] = []
        self.volume_labels: list[dict[str, str]] = []
        self.made_networks: dict[str, dict[str, Any]] = {}

    def inspect_network(self, name: str) -> dict[str, Any]:
        if name not in self.made_networks:
            raise docker_errors.NotFound("none")
        return self.made_networks[name]

    def create_network(self, name: str, labels: dict[str, str], **given: Any) -> None:
        self.made_networks[name] = {"Labels": labels, **given}

    def info(self) -> dict[str, Any]:
        return {"NCPU": 1}

    def inspect_container(self, name: str) -> dict[str, Any]:
        numbers = [number for number, given in enumerate(self.created, 1) if given["name"] == name]
        if not numbers:
            raise docker_errors.NotFound("none")
        container = f"container-{numbers[-1]}"
        state = {
            "Status": "running" if container in self.started else "created",
            "StartedAt": "2026-01-01T00:00:00+00:00",
            "OOMKilled": False,
            "ExitCode": 0,
        }
        labels = self.created[numbers[-1] - 1]["labels"]
        own = self.created[numbers[-1] - 1]["host_config"]["network_mode"]
        joined = {network for one, network in [(container, own), *self.joined] if one == container}
        networks = {network: {"IPAddress": "10.213.0.2"} for network in joined & set(self.made_networks)}
        return {
            "Id": container,
            "State": state,
            "Config": {"Labels": labels},
            "NetworkSettings": {"Networks": networks},
        }

    def create_volume(self, name: str, labels: dict[str, str]) -> dict[str, Any]:
        return {"Name": name, "Labels": labels}

    def create_host_config(self, **given: Any) -> dict[str, Any]:
        return given

    def create_container(self, **given: Any) -> dict[str, str]:
        self.created.append(given)
        return {"Id": f"container-{len(self.created)}"}

    def connect_container_to_network(self, container: str, network: str) -> None:
        self.joined.append((container, network))

    def start(self, container: str) -> None:
        self.started.append(container)

    def remove_container(self, container: str, **_: Any) -> None:
        self.removed.append(container)

    def volumes(self, filters: Any) -> dict[str, Any]:
        return {"Volumes": [{"Name": "v", "Labels": labels} for labels in self.volume_labels]}

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return self.listed


@pytest.fixture
def fake_api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    api = FakeApi()
    monkeypatch.setattr(docker, "APIClient", lambda *_, **__: api)
    return api


def refused_with(status: int) -> docker_errors.APIError:
    """As the engine refuses with that status."""
    response = requests.Response()
    response.status_code = status
    return docker_errors.APIError("refused", response=response)


def both(**settings: Any) -> tuple[Containers, RunningContainers]:
    made = replace(read_launcher_settings(ENVIRON), **settings)
    api = EngineClient(made.docker_url, connections=1).api
    running = RunningContainers(api, spec.label_filter(made), spec.SESSION_LABEL)
    return Containers(made, api, running.lost_reason), running


def containers(**settings: Any) -> Containers:
    return both(**settings)[0]


def test_a_sandbox_gets_no_more_cpus_than_the_engine_has(
    fake_api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    made = containers(cpus=2.0)
    made.ensure("a")
    made.ensure("b")
    assert [given["host_config"]["nano_cpus"] for given in fake_api.created] == [1_000_000_000] * 2
    assert caplog.text.count("VF_SANDBOX_CPUS is 2 and the engine has 1") == 1


@pytest.mark.parametrize(
    ("refusal", "kind", "told"),
    [
        (docker_errors.ImageNotFound("none"), errors.SandboxUnstartable, "agent:1 is not on .* scripts/up"),
        (refused_with(400), errors.SandboxUnstartable, "sandboxRuntime"),
        (refused_with(500), errors.SandboxUnavailable, "refused to start"),
    ],
)
async def test_what_waiting_does_not_mend_is_told_apart(
    fake_api: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
    refusal: Exception,
    kind: type[Exception],
    told: str,
) -> None:
    def refuse(**_: Any) -> Any:
        raise refusal

    monkeypatch.setattr(fake_api, "create_container", refuse)
    monkeypatch.setattr(EngineClient, "reach", lambda _: None)
    monkeypatch.setattr(fake_api, "close", lambda: None, raising=False)
    engine = DockerEngine(read_launcher_settings(ENVIRON))
    with pytest.raises(errors.SandboxUnavailable, match=told) as raised:
        await engine.ensure("a", named=True)
    assert type(raised.value) is kind
    await engine.close()


def test_fewer_cpus_than_the_engine_has_stay_as_they_are(fake_api: FakeApi) -> None:
    containers(cpus=0.5).ensure("a")
    assert fake_api.created[0]["host_config"]["nano_cpus"] == 500_000_000


def test_a_sandbox_is_told_of_the_proxy_only_where_there_is_one(fake_api: FakeApi) -> None:
    containers().ensure("a")
    containers(egress_proxy="http://gateway:3128").ensure("b")
    without, with_one = (made["environment"] for made in fake_api.created)
    assert "VF_EGRESS_PROXY" not in without
    assert with_one["VF_EGRESS_PROXY"] == "http://gateway:3128"


def test_what_was_cut_here_is_told_with_its_reason(
    fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, running = both()
    made.ensure("a")
    inspect = fake_api.inspect_container

    def ended(name: str) -> dict[str, Any]:
        found = inspect(name)
        if found["Id"] in fake_api.removed:
            raise docker_errors.NotFound("none")
        if found["Id"] == "container-1":
            found["State"] |= {"Status": "exited", "ExitCode": 137}
        return found

    killed: list[str] = []
    monkeypatch.setattr(fake_api, "kill", lambda one, signal: killed.append(one), raising=False)
    monkeypatch.setattr(fake_api, "inspect_container", ended)
    assert made.status("a").lost_reason == "killed"
    running.cut("container-1", "disk-quota")
    assert killed == ["container-1"]
    assert made.status("a").lost_reason == "disk-quota"
    made.ensure("a")
    assert fake_api.created[-1]["environment"]["VF_LOST_REASON"] == "disk-quota"


@pytest.mark.parametrize("status", [404, 409])
def test_what_has_ended_already_is_cut(
    fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    def gone(_: str, signal: str) -> None:
        raise refused_with(status)

    monkeypatch.setattr(fake_api, "kill", gone, raising=False)
    both()[1].cut("container-1", "disk-low")


def test_one_that_runs_without_its_network_gets_one_again(fake_api: FakeApi) -> None:
    """A launcher that was slow to stop the sandbox before it has taken the network of this one away."""
    made = containers()
    before = made.ensure("a")
    [name] = fake_api.made_networks
    fake_api.made_networks.clear()
    assert made.status("a").host == ""
    assert made.ensure("a") == before
    assert fake_api.joined == [("container-1", name)]
    assert len(fake_api.created) == 1


@asynccontextmanager
async def _launcher(settings: LauncherSettings) -> AsyncIterator[Client]:
    runner = Listener(build_launcher(settings, DockerEngine(settings)), LIMITS)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield Client(http, f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


async def test_on_a_disk_without_room_nothing_is_started(
    fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What runs goes on, what is asked about is answered."""
    monkeypatch.setattr(fake_api, "close", lambda: None, raising=False)
    monkeypatch.setattr(EngineClient, "reach", lambda _: None)
    settings = replace(
        read_launcher_settings(ENVIRON), disk_folder=str(tmp_path), disk_reserve_percent=99.999
    )
    async with _launcher(replace(settings, disk_reserve_percent=0.0)) as client:
        assert (await client.ask("PUT", "/sandboxes/a"))[0] == 200
    async with _launcher(settings) as client:
        async with asyncio.timeout(30):
            while not (await client.ask("GET", "/disk"))[1]["low"]:
                await asyncio.sleep(0.05)
        assert (await client.ask("PUT", "/sandboxes/a"))[0] == 200
        status, body = await client.ask("PUT", "/sandboxes/b")
        assert (status, body["code"]) == (507, "disk-low")
        assert (await client.ask("DELETE", "/sandboxes/b"))[0] == 204
        driver = DockerDriver(
            Settings(
                stack="dev",
                jwt_secret="j" * 32,
                sandbox_secret="s" * 32,
                credential_key="c" * 32,
                launcher_url=client.url,
                launcher_secret=SECRET,
            )
        )
        assert (await driver.disk()).low
        with pytest.raises(errors.DiskLow, match="nearly full"):
            await driver.ensure("b")
        await driver.close()


def test_what_has_the_labels_and_no_session_is_left_out_of_the_list(fake_api: FakeApi) -> None:
    ours = {"vaporforge.stack": "dev", "vaporforge.role": "sandbox"}
    fake_api.volume_labels = [ours, {**ours, "vaporforge.session": "a"}]
    fake_api.listed = [{"Labels": ours, "State": "running", "Created": 0}]
    assert [(found.session, found.state) for found in containers().list()] == [("a", "stopped")]


class TestOnAnEngine:
    """On a real engine, with the real agent image."""

    pytestmark = on_docker

    @pytest.fixture
    async def bench(self, agent_image: str) -> AsyncIterator[DockerBench]:
        async with DockerBench(agent_image) as bench:
            yield bench

    async def test_a_missing_image_is_named(self, bench: DockerBench, session: str) -> None:
        driver = bench.driver_at(await bench.launcher(image="vaporforge-no-such:image"))
        with pytest.raises(
            errors.SandboxUnstartable, match=r"vaporforge-no-such:image is not on .* scripts/up"
        ):
            await driver.ensure(session)
        assert await bench.alive(session) == 0

    async def test_a_container_that_was_made_and_never_started_is_started(
        self, bench: DockerBench, session: str
    ) -> None:
        settings = bench.launcher_settings
        for name in spec.volume_names(settings, session):
            await bench.engine(bench.api.create_volume, name, labels=spec.labels(settings, session))
        await bench.engine(Networks(lambda: bench.api, settings).ensure, session)
        arguments = spec.create_arguments(bench.api, settings, session, "")
        made = await bench.engine(bench.api.create_container, **arguments)
        assert (await bench.driver().status(session)).state == "starting"
        await bench.driver().ensure(session)
        assert (await bench.inspect(session))["Id"] == made["Id"]

    async def test_what_is_not_ours_is_not_touched(self, bench: DockerBench, session: str) -> None:
        name, settings = bench.name(session), bench.launcher_settings
        stranger = await bench.engine(bench.api.create_container, settings.image, name=name)
        try:
            for call in (bench.driver().ensure, bench.driver().stop, bench.driver().delete):
                with pytest.raises(errors.SandboxUnavailable, match="not of this stack"):
                    await call(session)
            assert (await bench.inspect(session))["Id"] == stranger["Id"]
        finally:
            await bench.engine(bench.api.remove_container, stranger["Id"], force=True)

    async def test_one_that_runs_goes_on_when_the_image_changes(
        self, bench: DockerBench, probe: Probe, session: str
    ) -> None:
        driver = bench.driver()
        before = await driver.ensure(session)
        newer = f"{bench.stack}:newer"
        await bench.engine(bench.api.tag, bench.launcher_settings.image, bench.stack, "newer")
        try:
            renewed = bench.driver_at(await bench.launcher(image=newer))
            assert await renewed.ensure(session) == before
            await renewed.stop(session)
            await renewed.ensure(session)
            assert (await bench.inspect(session))["Config"]["Image"] == newer
            await renewed.delete(session)
        finally:
            await bench.engine(bench.api.remove_image, newer)

    async def test_out_of_memory_is_told(self, bench: DockerBench, probe: Probe, session: str) -> None:
        driver = bench.driver()
        sandbox = await driver.ensure(session)
        await probe.write(sandbox, "a.txt", b"kept")
        # What a tmpfs holds counts as the sandbox's memory and stays when its writer is killed: the server is next.
        filling = asyncio.create_task(
            bench.run(session, "sh", "-c", "while :; do cat /dev/zero >>/tmp/fill; done")
        )
        assert (await until_stopped(driver, session)).lost_reason == "oom"
        await asyncio.gather(filling, return_exceptions=True)
        woken = await driver.ensure(session)
        assert (await probe.ping(woken))["lostReason"] == "oom"
        assert await probe.read(woken, "a.txt") == (200, b"kept")

    async def test_limits_and_hardening_as_the_engine_sees_them(
        self, bench: DockerBench, session: str
    ) -> None:
        await bench.driver().ensure(session)
        found = await bench.inspect(session)
        host, config = found["HostConfig"], found["Config"]
        assert host["CapDrop"] == ["ALL"]
        assert host["CapAdd"] == ["KILL", "SETGID", "SETPCAP", "SETUID"]
        no_new_privileges, seccomp = host["SecurityOpt"]
        assert no_new_privileges == "no-new-privileges:true"
        assert json.loads(seccomp.removeprefix("seccomp="))["defaultAction"] == "SCMP_ACT_ERRNO"
        assert {"/proc/kcore", "/proc/keys", "/proc/cmdline", "/sys/firmware"} <= set(host["MaskedPaths"])
        assert "/proc/sys" in host["ReadonlyPaths"]
        assert host["ReadonlyRootfs"] is True
        assert host["Privileged"] is False
        assert host["Memory"] == host["MemorySwap"] == 256 * 1024 * 1024
        assert host["NanoCpus"] == 1_000_000_000
        assert host["PidsLimit"] == 128
        assert (host["CpuShares"], host["OomScoreAdj"]) == (128, 500)
        assert host["RestartPolicy"]["Name"] == "no"
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}
        assert not host["PortBindings"]
        assert not host["Binds"]
        assert {(mount["Type"], mount["Destination"]) for mount in found["Mounts"]} == {
            ("volume", "/workspace"),
            ("volume", "/home/agent"),
            ("volume", "/var/lib/vaporforge"),
        }
        assert list(found["NetworkSettings"]["Networks"]) == [
            spec.network_name(bench.launcher_settings, session)
        ]
        assert config["User"] == "0:0"
        assert (
            config["Labels"].items()
            >= {
                "vaporforge.stack": bench.stack,
                "vaporforge.session": session,
                "vaporforge.image": bench.launcher_settings.image,
                "vaporforge.role": "sandbox",
            }.items()
        )
        token = next(item for item in config["Env"] if item.startswith("VF_SANDBOX_TOKEN=")).split("=", 1)[1]
        assert token not in str([config["Cmd"], config["Entrypoint"], config["Labels"], found["Args"]])

    async def test_confined_as_seen_from_inside(self, bench: DockerBench, session: str) -> None:
        await bench.driver().ensure(session)
        _, ids = await bench.run(session, "id")
        assert ids.startswith("uid=10001(agent) gid=10001(agent)")
        _, status = await bench.run(session, "cat", "/proc/1/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines())
        assert fields["NoNewPrivs"].strip() == "1"
        assert fields["Seccomp"].strip() == "2"
        for folder in ("/", "/opt", "/usr/bin", "/etc"):
            code, output = await bench.run(session, "touch", f"{folder}/x")
            assert code != 0, folder
            assert "Read-only file system" in output or "Permission denied" in output
        for folder in ("/workspace", "/home/agent", "/tmp"):
            assert await bench.run(session, "touch", f"{folder}/x") == (0, ""), folder
        for folder in ("/run/vaporforge", "/var/lib/vaporforge"):
            assert (await bench.run(session, "touch", f"{folder}/x"))[0] != 0, folder
            assert (await bench.run(session, "stat", "-c", "%a %U", folder))[1] == "700 server\n"
        # One folder there is the server's alone.
        look = "find /run/ /var/run/ -name '*.sock' 2>/dev/null; true"
        _, sockets = await bench.run(session, "sh", "-c", look)
        assert sockets == ""
        _, mounts = await bench.run(session, "cat", "/proc/self/mounts")
        assert "docker.sock" not in mounts

    async def test_the_gateways_secrets_are_not_inside(self, bench: DockerBench, session: str) -> None:
        await bench.driver().ensure(session)
        _, environment = await bench.run(session, "env")
        names = {line.split("=", 1)[0] for line in environment.splitlines()}
        assert not {name for name in names if "SECRET" in name or "CREDENTIAL" in name or "AWS" in name}
        assert bench.launcher_settings.sandbox_secret not in environment
        assert bench.launcher_settings.launcher_secret not in environment

    async def test_another_sandbox_cannot_be_reached(self, bench: DockerBench, session: str) -> None:
        target = f"{session}-target"
        there = await bench.driver().ensure(target)  # the host gets through, so it does listen
        await bench.driver().ensure(session)
        reach = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
        python = "/opt/venv/bin/python"
        own, _ = await bench.run(session, python, "-c", reach, "127.0.0.1", "8765")
        assert own == 0
        code, output = await bench.run(session, python, "-c", reach, there.host, str(there.port))
        assert code == 1, output
        assert "timed out" in output or "unreachable" in output
        name = (await bench.inspect(target))["Config"]["Hostname"]
        for asked in (name, bench.name(target), there.host):
            assert (await bench.run(session, "getent", "hosts", asked))[0] != 0, asked
        await bench.driver().delete(target)

    async def test_no_name_server_but_the_engine_is_asked(self, bench: DockerBench, session: str) -> None:
        await bench.driver().ensure(session)
        name = (await bench.inspect(session))["Config"]["Hostname"]
        assert (await bench.run(session, "getent", "hosts", name))[0] == 0
        assert (await bench.inspect(session))["HostConfig"]["Dns"] == [spec.NO_DNS]

    async def test_a_fork_bomb_meets_its_limit(self, bench: DockerBench, probe: Probe, session: str) -> None:
        sandbox = await bench.driver().ensure(session)
        _, output = await bench.run(
            session, "sh", "-c", "for i in $(seq 200); do sleep 20 & done; echo started; kill $(jobs -p)"
        )
        assert "fork" in output.lower()
        assert (await probe.ping(sandbox))["status"] == "ok"

    async def test_the_real_process_starts_and_finds_everything_again(
        self, bench: DockerBench, session: str
    ) -> None:
        sandbox = await bench.driver().ensure(session)
        port = free_port()
        environ = {
            **ENVIRON,
            "PATH": os.environ["PATH"],
            "VF_STACK": bench.stack,
            "VF_SANDBOX_IMAGE": bench.launcher_settings.image,
            "VF_SANDBOX_FROM_HOST": "true",
            "VF_HOST": "127.0.0.1",
            "VF_PORT": str(port),
        }
        for _ in range(2):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.launcher",
                cwd=ROOT,
                env=environ,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                driver = bench.driver_at(f"http://127.0.0.1:{port}")
                await _until_up(f"http://127.0.0.1:{port}/ping")
                assert await driver.ensure(session) == sandbox
                assert [found.session for found in await driver.list()] == [session]
            finally:
                process.send_signal(signal.SIGTERM)
                _, log = await asyncio.wait_for(process.communicate(), 15)
            assert process.returncode == 0, log.decode()
            assert bench.launcher_settings.sandbox_secret not in log.decode()


async def _until_up(url: str) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        while True:
            try:
                async with http.get(url):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def test_the_real_process_refuses_bad_settings() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.launcher",
        cwd=ROOT,
        env={"VF_STACK": "dev"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, message = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert "VF_LAUNCHER_SECRET is not set" in message.decode()
