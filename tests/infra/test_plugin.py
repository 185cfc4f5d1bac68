"""The stand-in plugin through its gRPC surface, on the real Docker engine."""

from __future__ import annotations

import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import grpc
import pytest
from google.protobuf import empty_pb2, json_format
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2

from infra.config import ROOT
from infra.plugin.properties import UNKNOWN, secret
from infra.plugin.standin import STAND_IN, VERSION
from tests.conftest import free_port
from tests.infra.plugin_client import Plugin, started, struct

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CONTAINER = "docker:index/container:Container"
IMAGE = "docker:index/image:Image"
NETWORK = "docker:index/network:Network"
REMOTE_IMAGE = "docker:index/remoteImage:RemoteImage"
VOLUME = "docker:index/volume:Volume"

SERVER = """
import http.server, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(float(os.environ.get("DRAIN", "0"))), sys.exit(0)))
http.server.HTTPServer(("", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""

PROBE = {
    "tests": [
        "CMD",
        "python3",
        "-c",
        "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/', timeout=4)",
    ],
    "interval": "1s",
    "timeout": "5s",
    "startPeriod": "60s",
    "retries": 3,
}


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def label(engine: docker.DockerClient) -> Iterator[str]:
    """On everything that these tests make; whatever a failed one left goes at the end."""
    label = f"vaporforge.plugin-test={secrets.token_hex(6)}"
    yield label
    for container in engine.containers.list(all=True, filters={"label": label}):
        container.remove(force=True, v=True)
    for network in engine.networks.list(filters={"label": label}):
        network.remove()
    for volume in engine.volumes.list(filters={"label": label}):
        volume.remove(force=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plugin")


@pytest.fixture(scope="module")
def plugin(folder: Path) -> Iterator[Plugin]:
    with started(folder) as plugin:
        yield plugin


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient, base_image: str) -> str:
    """The id of an image with Python, to start containers from."""
    return str(engine.images.get(base_image).id)


@pytest.fixture(scope="session")
def base_image() -> str:
    """The base image that the set-up found or made."""
    script = '. scripts/lib/env.sh && cat "$VF_STATE/base-image"'
    root = Path(__file__).resolve().parents[2]
    subprocess.run([root / "scripts" / "setup", "docker", "base"], check=True)
    return subprocess.run(
        ["bash", "-c", script], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def labels(label: str) -> list[dict[str, str]]:
    key, value = label.split("=")
    return [{"label": key, "value": value}]


def server(image: str, label: str, **more: Any) -> dict[str, Any]:
    """Inputs of a container that serves HTTP on 8080."""
    return {"image": image, "command": ["python3", "-c", SERVER], "labels": labels(label), **more}


def refused(call: Any) -> str:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return str(error.value.details())


# -- the protocol -----------------------------------------------------------------------------------------------------


def test_it_tells_its_version_and_schema(plugin: Plugin) -> None:
    assert plugin.stub.GetPluginInfo(empty_pb2.Empty()).version == VERSION
    assert '"name": "docker"' in plugin.stub.GetSchema(provider_pb2.GetSchemaRequest()).schema


def test_another_type_is_refused_with_its_name_and_the_remedy(plugin: Plugin) -> None:
    message = refused(lambda: plugin.check("docker:index/service:Service", {}))
    assert "docker:index/service:Service" in message
    assert f"pulumi plugin install resource docker {VERSION}" in message


def test_another_input_is_refused_with_the_nearest(plugin: Plugin) -> None:
    [failure] = plugin.check(NETWORK, {"intern": True}).failures
    assert failure.property == "intern"
    assert "did you mean internal?" in failure.reason


def test_a_missing_input_is_named(plugin: Plugin) -> None:
    [failure] = plugin.check(CONTAINER, {}).failures
    assert (failure.property, failure.reason) == ("image", "image is missing")


def test_other_provider_configuration_is_refused(plugin: Plugin) -> None:
    given = struct({"host": "tcp://engine:2376", "certPath": "/certs"})
    answer = plugin.stub.CheckConfig(provider_pb2.CheckRequest(urn="u", news=given))
    assert [failure.property for failure in answer.failures] == ["certPath"]


def test_another_engine_is_a_change_of_the_provider_and_no_replacement(plugin: Plugin) -> None:
    request = provider_pb2.DiffRequest(old_inputs=struct({"host": "a"}), news=struct({"host": "b"}))
    answer = plugin.stub.DiffConfig(request)
    assert (list(answer.diffs), list(answer.replaces)) == (["host"], [])


def test_an_engine_that_is_not_there_is_told(folder: Path) -> None:
    with started(folder) as lonely:
        host = f"tcp://127.0.0.1:{free_port()}"
        lonely.stub.Configure(provider_pb2.ConfigureRequest(args=struct({"host": host})))
        message = refused(lambda: lonely.create(NETWORK, lonely.checked(NETWORK, {})))
        assert message.startswith("the Docker engine cannot be reached")


# -- names and differences --------------------------------------------------------------------------------------------


def test_a_name_is_made_once_and_kept(plugin: Plugin) -> None:
    first = plugin.checked(NETWORK, {"driver": "bridge"})
    assert first["name"].startswith("thing-")
    assert plugin.checked(NETWORK, {"driver": "bridge"}, olds=first)["name"] == first["name"]
    assert plugin.checked(NETWORK, {"driver": "bridge"})["name"] != first["name"]


def test_it_fills_in_what_the_official_plugin_would_replace_for(plugin: Plugin) -> None:
    network = plugin.checked(NETWORK, {"driver": "bridge"})
    assert (network["ipamDriver"], network["__defaults"]) == ("default", ["ipamDriver", "name"])
    assert plugin.checked(CONTAINER, {"image": "a"})["networkMode"] == "bridge"
    given = plugin.checked(CONTAINER, {"image": "a", "networkMode": "host"})
    assert (given["networkMode"], given["__defaults"]) == ("host", ["name"])
    with pytest.raises(grpc.RpcError, match="ipamDriver is 'mine'"):
        plugin.check(NETWORK, {"ipamDriver": "mine"})


def test_the_same_inputs_are_no_difference(plugin: Plugin) -> None:
    inputs = plugin.checked(NETWORK, {"driver": "bridge", "labels": [{"label": "a", "value": "1"}]})
    answer = plugin.diff(NETWORK, inputs, inputs)
    assert answer.changes == answer.DIFF_NONE
    assert answer.hasDetailedDiff


def test_sets_have_no_order_and_lists_have_one(plugin: Plugin) -> None:
    one = {"image": "i", "envs": ["A=1", "B=2"], "command": ["x", "y"]}
    answer = plugin.diff(CONTAINER, one, {**one, "envs": ["B=2", "A=1"]})
    assert answer.changes == answer.DIFF_NONE
    answer = plugin.diff(CONTAINER, one, {**one, "command": ["y", "x"]})
    assert list(answer.replaces) == ["command"]


@pytest.mark.parametrize(
    ("change", "kind", "replaces"),
    [
        ({"envs": ["A=2"]}, "UPDATE_REPLACE", True),
        ({"restart": "always"}, "ADD", False),
        ({"destroyGraceSeconds": 3}, "ADD", False),
        ({"user": "1000"}, "ADD_REPLACE", True),
        ({"command": None}, "DELETE_REPLACE", True),
        ({"image": UNKNOWN}, "UPDATE_REPLACE", True),
    ],
)
def test_what_replaces_and_what_does_not(
    plugin: Plugin, change: dict[str, Any], kind: str, replaces: bool
) -> None:
    olds = {"image": "i", "envs": ["A=1"], "command": ["x"], "name": "n", "__defaults": ["name"]}
    news = {key: value for key, value in {**olds, **change}.items() if value is not None}
    answer = plugin.diff(CONTAINER, olds, news)
    [key] = change
    assert list(answer.diffs) == [key]
    assert list(answer.replaces) == ([key] if replaces else [])
    assert answer.detailedDiff[key].kind == provider_pb2.PropertyDiff.Kind.Value(kind)
    assert not answer.deleteBeforeReplace


def test_a_name_that_the_user_gave_cannot_be_there_twice(plugin: Plugin) -> None:
    olds = {"image": "i", "name": "mine"}
    assert plugin.diff(CONTAINER, olds, {**olds, "image": "j"}).deleteBeforeReplace


def test_ignored_changes_are_none(plugin: Plugin) -> None:
    olds = {"image": "i", "envs": ["A=1"]}
    answer = plugin.diff(CONTAINER, olds, {**olds, "envs": ["A=2"]}, ignore=["envs"])
    assert answer.changes == answer.DIFF_NONE


def test_a_secret_is_compared_by_its_value(plugin: Plugin) -> None:
    olds = {"image": "i", "envs": [secret("A=1")]}
    same = plugin.diff(CONTAINER, olds, {"image": "i", "envs": ["A=1"]})
    assert same.changes == same.DIFF_NONE
    other = plugin.diff(CONTAINER, olds, {"image": "i", "envs": [secret("A=2")]})
    assert list(other.replaces) == ["envs"]


# -- networks and volumes ---------------------------------------------------------------------------------------------


def test_a_network_lives(plugin: Plugin, engine: docker.DockerClient, label: str) -> None:
    inputs = plugin.checked(NETWORK, {"driver": "bridge", "internal": True, "labels": labels(label)})
    id_, state = plugin.create(NETWORK, inputs)
    found = engine.networks.get(id_)
    assert (found.name, found.attrs["Internal"], state["scope"]) == (inputs["name"], True, "local")
    assert plugin.read(NETWORK, id_, inputs, state)[0] == id_
    plugin.delete(NETWORK, id_, state)
    assert plugin.read(NETWORK, id_, inputs, state)[0] == ""
    plugin.delete(NETWORK, id_, state)


def test_a_network_in_use_is_not_deleted_and_that_is_told(plugin: Plugin, image: str, label: str) -> None:
    network = plugin.checked(NETWORK, {"labels": labels(label)})
    network_id, network_state = plugin.create(NETWORK, network)
    inputs = plugin.checked(CONTAINER, server(image, label, networksAdvanced=[{"name": network["name"]}]))
    id_, state = plugin.create(CONTAINER, inputs)
    assert network["name"] in refused(lambda: plugin.delete(NETWORK, network_id, network_state))
    plugin.delete(CONTAINER, id_, state)
    plugin.delete(NETWORK, network_id, network_state)


def test_a_volume_lives(plugin: Plugin, engine: docker.DockerClient, label: str) -> None:
    inputs = plugin.checked(VOLUME, {"labels": labels(label)})
    id_, state = plugin.create(VOLUME, inputs)
    assert id_ == inputs["name"]
    assert engine.volumes.get(id_).attrs["Mountpoint"] == state["mountpoint"]
    plugin.delete(VOLUME, id_, state)
    assert plugin.read(VOLUME, id_, inputs, state)[0] == ""
    plugin.delete(VOLUME, id_, state)


# -- containers -------------------------------------------------------------------------------------------------------


def test_a_container_is_made_as_it_was_described(
    plugin: Plugin, engine: docker.DockerClient, image: str, label: str
) -> None:
    network = plugin.checked(NETWORK, {"labels": labels(label)})
    network_id, network_state = plugin.create(NETWORK, network)
    port = free_port()
    described = server(
        image,
        label,
        envs=["A=1", secret("B=hidden")],
        user="1000:1000",
        readOnly=True,
        privileged=False,
        capabilities={"drops": ["ALL"]},
        securityOpts=["no-new-privileges:true"],
        tmpfs={"/scratch": "rw,size=1m"},
        networksAdvanced=[{"name": network["name"], "aliases": ["server"]}],
        ports=[{"internal": 8080, "external": port, "ip": "127.0.0.1", "protocol": "tcp"}],
        logDriver="json-file",
        logOpts={"max-size": "1m"},
        restart="unless-stopped",
        stopTimeout=7,
        memory=64,
    )
    inputs = plugin.checked(CONTAINER, described)
    id_, state = plugin.create(CONTAINER, inputs)
    attrs = engine.containers.get(id_).attrs
    host, config = attrs["HostConfig"], attrs["Config"]
    assert {"A=1", "B=hidden"} <= set(config["Env"])
    assert (config["User"], config["StopTimeout"]) == ("1000:1000", 7)
    assert (host["ReadonlyRootfs"], host["Privileged"], host["CapDrop"]) == (True, False, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Tmpfs"] == {"/scratch": "rw,size=1m"}
    assert host["PortBindings"] == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
    assert host["Memory"] == 64 * 1024 * 1024
    assert list(attrs["NetworkSettings"]["Networks"]) == [network["name"]]
    assert "server" in attrs["NetworkSettings"]["Networks"][network["name"]]["Aliases"]
    [data] = state["networkDatas"]
    assert data["ipAddress"] == attrs["NetworkSettings"]["Networks"][network["name"]]["IPAddress"]
    assert state["hostname"] == config["Hostname"]
    # What came as a secret goes back as one.
    assert state["envs"][1] == secret("B=hidden")
    plugin.delete(CONTAINER, id_, state)
    plugin.delete(NETWORK, network_id, network_state)


def test_a_container_that_is_gone_or_stopped_is_made_again(
    plugin: Plugin, engine: docker.DockerClient, image: str, label: str
) -> None:
    inputs = plugin.checked(CONTAINER, server(image, label))
    id_, state = plugin.create(CONTAINER, inputs)
    assert plugin.read(CONTAINER, id_, inputs, state)[0] == id_
    engine.containers.get(id_).stop(timeout=5)
    assert plugin.read(CONTAINER, id_, inputs, state)[0] == ""
    plugin.delete(CONTAINER, id_, state)
    assert plugin.read(CONTAINER, id_, inputs, state)[0] == ""
    plugin.delete(CONTAINER, id_, state)


def test_a_container_gets_its_time_to_stop(
    plugin: Plugin, engine: docker.DockerClient, image: str, label: str
) -> None:
    # Healthy means that it serves, and that it listens to the signal.
    waited = {"wait": True, "healthcheck": PROBE}
    drains = server(
        image, label, envs=["DRAIN=1"], destroyGraceSeconds=20, restart="unless-stopped", **waited
    )
    inputs = plugin.checked(CONTAINER, drains)
    id_, state = plugin.create(CONTAINER, inputs)
    events = engine.events(filters={"container": id_, "event": "die"}, decode=True)
    plugin.delete(CONTAINER, id_, state)
    # 0: it ended by itself; 137 is what a killed one ends with.
    assert next(events)["Actor"]["Attributes"]["exitCode"] == "0"
    events.close()


def test_a_container_is_waited_for(
    plugin: Plugin, engine: docker.DockerClient, image: str, label: str
) -> None:
    inputs = plugin.checked(CONTAINER, server(image, label, wait=True, healthcheck=PROBE))
    id_, state = plugin.create(CONTAINER, inputs)
    assert engine.containers.get(id_).attrs["State"]["Health"]["Status"] == "healthy"
    plugin.delete(CONTAINER, id_, state)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            {
                "command": ["python3", "-c", "print('no luck'); raise SystemExit(3)"],
                "wait": True,
                "healthcheck": {"tests": ["CMD", "true"], "interval": "30s"},
            },
            ["ended", "exit code 3", "no luck"],
        ),
        ({"wait": True}, ["has no health check"]),
        (
            {"wait": True, "waitTimeout": 3, "healthcheck": {"tests": ["CMD", "false"], "interval": "1s"}},
            ["was not healthy in 3 s"],
        ),
        ({"healthcheck": {"tests": ["CMD", "true"], "interval": "soon"}}, ["'soon' is no duration"]),
        ({"image": "sha256:" + "1" * 64}, ["is not on the engine"]),
        ({"command": ["/no/such/program"]}, ["/no/such/program"]),
    ],
)
def test_a_container_that_fails_is_told_and_leaves_nothing(
    plugin: Plugin, engine: docker.DockerClient, image: str, label: str, more: dict[str, Any], told: list[str]
) -> None:
    inputs = plugin.checked(CONTAINER, {**server(image, label), **more})
    message = refused(lambda: plugin.create(CONTAINER, inputs))
    assert all(part in message for part in told), message
    assert engine.containers.list(all=True, filters={"name": inputs["name"]}) == []


def test_what_the_engine_can_change_is_changed_in_place(
    plugin: Plugin, engine: docker.DockerClient, image: str, label: str
) -> None:
    inputs = plugin.checked(CONTAINER, server(image, label, memory=64, memorySwap=64))
    id_, state = plugin.create(CONTAINER, inputs)
    news = {**inputs, "memory": 96, "memorySwap": 96, "restart": "always"}
    assert not plugin.diff(CONTAINER, inputs, news).replaces
    after = plugin.update(CONTAINER, id_, state, news)
    host = engine.containers.get(id_).attrs["HostConfig"]
    assert (host["Memory"], host["RestartPolicy"]["Name"]) == (96 * 1024 * 1024, "always")
    plugin.delete(CONTAINER, id_, after)


def test_limits_are_the_engine_s_and_no_change_the_next_time(
    plugin: Plugin, engine: docker.DockerClient, image: str, label: str
) -> None:
    swap = 64 if engine.info()["SwapLimit"] else -1
    files = [{"name": name, "soft": most, "hard": most} for name, most in (("nofile", 5000), ("core", 0))]
    described = server(image, label, memory=64, memorySwap=swap, ulimits=files)
    inputs = plugin.checked(CONTAINER, described)
    id_, state = plugin.create(CONTAINER, inputs)
    props: dict[str, Any] = {"containers": {"server": id_}, "pids": 77, "dockerHost": ""}
    with started(ROOT, "stack/pulumi-resource-vaporforge-stack") as ours:
        ours.create("vaporforge-stack:index:ProcessLimits", props)
    host = engine.containers.get(id_).attrs["HostConfig"]
    assert (host["Memory"], host["PidsLimit"]) == (64 * 1024 * 1024, 77)
    assert host["MemorySwap"] in {64 * 1024 * 1024, -1}
    assert {(item["Name"], item["Soft"], item["Hard"]) for item in host["Ulimits"]} == {
        ("nofile", 5000, 5000),
        ("core", 0, 0),
    }
    # The next update has them in another order, and finds what this one made.
    again = plugin.checked(CONTAINER, described | {"ulimits": files[::-1]}, inputs)
    assert plugin.diff(CONTAINER, inputs, again).changes == provider_pb2.DiffResponse.DIFF_NONE
    assert plugin.diff(CONTAINER, inputs, {**again, "ulimits": files[:1]}).replaces == ["ulimits"]
    # More memory is given in place, and leaves the processes limited.
    after = plugin.update(
        CONTAINER, id_, state, {**again, "memory": 96, "memorySwap": swap + 32 if swap > 0 else -1}
    )
    host = engine.containers.get(id_).attrs["HostConfig"]
    assert (host["Memory"], host["PidsLimit"]) == (96 * 1024 * 1024, 77)
    plugin.delete(CONTAINER, id_, after)


def test_what_its_memory_limit_kills_is_started_again(
    plugin: Plugin, engine: docker.DockerClient, image: str, label: str
) -> None:
    greedy = ["python3", "-c", "import time; time.sleep(1); held = b'x' * (256 << 20); time.sleep(60)"]
    swap = 64 if engine.info()["SwapLimit"] else -1
    described = server(image, label, memory=64, memorySwap=swap, restart="unless-stopped") | {
        "command": greedy
    }
    inputs = plugin.checked(CONTAINER, described)
    id_, state = plugin.create(CONTAINER, inputs)
    deadline = time.monotonic() + 60
    while (found := engine.containers.get(id_).attrs)["RestartCount"] < 2:
        assert time.monotonic() < deadline, found["State"]
        time.sleep(0.2)
    plugin.delete(CONTAINER, id_, state)


def test_a_preview_makes_nothing_and_says_what_is_not_known(
    plugin: Plugin, engine: docker.DockerClient, label: str
) -> None:
    inputs = plugin.checked(CONTAINER, {"image": UNKNOWN, "labels": labels(label), "envs": [secret("A=1")]})
    id_, outputs = plugin.create(CONTAINER, inputs, preview=True)
    assert id_ == ""
    assert outputs["networkDatas"] == rpc.UNKNOWN
    assert outputs["image"] == rpc.UNKNOWN
    assert outputs["envs"] == [secret("A=1")]
    assert engine.containers.list(all=True, filters={"name": inputs["name"]}) == []


def test_an_unknown_value_is_refused_when_it_matters(plugin: Plugin, label: str) -> None:
    inputs = plugin.checked(CONTAINER, {"image": UNKNOWN, "labels": labels(label)})
    assert "still unknown" in refused(lambda: plugin.create(CONTAINER, inputs))


def test_cancel_ends_a_wait(folder: Path, engine: docker.DockerClient, image: str, label: str) -> None:
    never = {"tests": ["CMD", "false"], "interval": "1s", "startPeriod": "200s"}
    with started(folder) as cancelled:
        described = server(image, label, wait=True, waitTimeout=200, healthcheck=never)
        inputs = cancelled.checked(CONTAINER, described)
        answer = threading.Thread(
            target=lambda: messages.append(refused(lambda: cancelled.create(CONTAINER, inputs)))
        )
        messages: list[str] = []
        answer.start()
        deadline = time.monotonic() + 60
        while not engine.containers.list(filters={"name": inputs["name"]}) and time.monotonic() < deadline:
            time.sleep(0.1)
        cancelled.stub.Cancel(empty_pb2.Empty())
        answer.join(timeout=60)
    assert messages == ["cancelled"]
    assert engine.containers.list(all=True, filters={"name": inputs["name"]}) == []


# -- images -----------------------------------------------------------------------------------------------------------


def image_inputs(folder: Path, base: str, tag: str, text: str = "hello", step: str = "") -> dict[str, Any]:
    context = folder / "context"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(
        f"ARG BASE\nFROM ${{BASE}}\nARG WORDS\n{step}\nCOPY file /file\nENV WORDS=$WORDS\n"
    )
    (context / "file").write_text(text)
    build = {
        "context": "context",
        "dockerfile": "context/Dockerfile",
        "args": {"BASE": base, "WORDS": "a 'b'"},
    }
    return {"imageName": tag, "build": build, "skipPush": True}


def test_an_image_is_built_and_built_again_when_its_context_changes(
    plugin: Plugin, engine: docker.DockerClient, folder: Path, base_image: str
) -> None:
    tag = f"vaporforge-plugin-test/{secrets.token_hex(6)}:1"
    inputs = plugin.checked(IMAGE, image_inputs(folder, base_image, tag))
    preview = plugin.create(IMAGE, inputs, preview=True)[1]
    assert preview["repoDigest"] == rpc.UNKNOWN
    id_, state = plugin.create(IMAGE, inputs)
    try:
        built = engine.images.get(tag)
        assert (id_, state["repoDigest"]) == (tag, built.id)
        assert "WORDS=a 'b'" in built.attrs["Config"]["Env"]
        assert (
            plugin.diff(IMAGE, inputs, plugin.checked(IMAGE, image_inputs(folder, base_image, tag))).changes
            == 1
        )
        news = plugin.checked(IMAGE, image_inputs(folder, base_image, tag, text="other"))
        answer = plugin.diff(IMAGE, inputs, news)
        assert (list(answer.diffs), list(answer.replaces)) == (["build"], [])
        after = plugin.update(IMAGE, id_, state, news)
        assert after["repoDigest"] == engine.images.get(tag).id != state["repoDigest"]
        assert plugin.read(IMAGE, id_, news, after)[0] == id_
    finally:
        engine.images.remove(tag)
    assert plugin.read(IMAGE, id_, news, after)[0] == ""
    plugin.delete(IMAGE, id_, after)


def test_a_build_that_fails_shows_why(plugin: Plugin, folder: Path, base_image: str) -> None:
    step = "RUN echo something is wrong && exit 7"
    inputs = plugin.checked(
        IMAGE, image_inputs(folder, base_image, "vaporforge-plugin-test/fails:1", step=step)
    )
    message = refused(lambda: plugin.create(IMAGE, inputs))
    assert "something is wrong" in message
    assert "exit code: 7" in message


def test_cancel_ends_a_build(folder: Path, base_image: str) -> None:
    with started(folder) as cancelled:
        inputs = image_inputs(folder, base_image, "vaporforge-plugin-test/slow:1", step="RUN sleep 200")
        inputs = cancelled.checked(IMAGE, inputs)
        messages: list[str] = []
        answer = threading.Thread(
            target=lambda: messages.append(refused(lambda: cancelled.create(IMAGE, inputs)))
        )
        answer.start()
        cancelled.stub.Cancel(empty_pb2.Empty())
        answer.join(timeout=60)
    assert messages == ["building vaporforge-plugin-test/slow:1 was cancelled"]


def test_an_image_is_never_pushed(plugin: Plugin, folder: Path, base_image: str) -> None:
    inputs = image_inputs(folder, base_image, "vaporforge-plugin-test/x:1")
    assert "set skipPush" in refused(lambda: plugin.check(IMAGE, {**inputs, "skipPush": False}))


def test_a_missing_dockerfile_is_named(plugin: Plugin) -> None:
    inputs = {"imageName": "x:1", "build": {"context": "nowhere"}, "skipPush": True}
    assert "there is no Dockerfile at nowhere/Dockerfile" in refused(lambda: plugin.check(IMAGE, inputs))


def test_an_image_that_is_there_is_not_pulled_and_kept(
    plugin: Plugin, engine: docker.DockerClient, base_image: str, image: str
) -> None:
    inputs = plugin.checked(REMOTE_IMAGE, {"name": base_image, "keepLocally": True})
    id_, state = plugin.create(REMOTE_IMAGE, inputs)
    assert (id_, state["imageId"]) == (f"{image}{base_image}", image)
    plugin.delete(REMOTE_IMAGE, id_, state)
    assert engine.images.get(base_image).id == image


def test_an_image_that_cannot_be_pulled_is_named(plugin: Plugin) -> None:
    name = f"localhost:{free_port()}/no/such:1"
    inputs = plugin.checked(REMOTE_IMAGE, {"name": name})
    assert name in refused(lambda: plugin.create(REMOTE_IMAGE, inputs))


@pytest.mark.parametrize("type_", sorted(STAND_IN.types))
def test_nothing_is_imported(plugin: Plugin, type_: str) -> None:
    assert "imports nothing" in refused(lambda: plugin.read(type_, "some-id", {}, {}))


def test_properties_survive_the_journey(plugin: Plugin) -> None:
    given = {"image": "i", "envs": [secret("A=1"), "B=2"], "memory": 64, "tmpfs": {"/x": "rw"}, "cpus": "1.5"}
    given["networkMode"] = "bridge"
    answer = plugin.check(CONTAINER, {**given, "name": "n"})
    assert json_format.MessageToDict(answer.inputs) == {**given, "name": "n"}
