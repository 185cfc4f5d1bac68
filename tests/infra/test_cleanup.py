"""What is taken away with a stack's resources, and what is never touched because it is another stack's."""

from __future__ import annotations

import functools
import threading
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from pulumi.runtime.proto import provider_pb2

from infra.plugin.diff import diff
from infra.plugin.enginelog import EngineLog
from infra.plugin.properties import to_wire
from infra.plugin.provider import Provider
from infra.plugin.resource import Context, PluginError
from infra.plugin.stack.cleanup import ImageTagType, SandboxContainersType, SessionVolumesType
from infra.plugin.stack.types import STACK

PROPS = {"stack": "vaporforge-dev", "dockerHost": ""}


def no_engine() -> docker.APIClient:
    raise AssertionError("these types name their engine themselves")


CONTEXT = Context(connect=no_engine, configured={}, urn="", log=EngineLog(""), cancelled=threading.Event())


class Conflict(docker.errors.APIError):
    status_code = 409


class Engine:
    """A Docker engine's client, as far as the providers use it. `containers`: by role. `networks`: of sandboxes, with
    the containers on each, of which the gateways (`gateway…`) do not run. `in_use`: tags that something runs on."""

    def __init__(
        self,
        *,
        volumes: tuple[str, ...] = (),
        containers: dict[str, list[Any]] | None = None,
        networks: dict[str, list[str]] | None = None,
        tags: tuple[str, ...] = (),
        in_use: tuple[str, ...] = (),
    ) -> None:
        self.removed: list[str] = []
        self.asked: dict[str, Any] = {}
        self._in_use = in_use
        by_role = containers or {}

        def listed(filters: dict[str, Any], **_: Any) -> list[Any]:
            labels = filters["label"] if isinstance(filters["label"], list) else [filters["label"]]
            assert labels[0] == "vaporforge.stack=vaporforge-dev"
            roles = [label.removeprefix("vaporforge.role=") for label in labels[1:]] or list(by_role)
            return [item for role in roles for item in by_role.get(role, [])]

        self.volumes = SimpleNamespace(
            list=lambda filters: [SimpleNamespace(name=name, attrs={"Labels": None}) for name in volumes]
        )
        self.containers = SimpleNamespace(list=listed)
        self._networks = networks or {}
        self.late = ""
        self.networks = SimpleNamespace(list=self._listed_networks)
        self.api = SimpleNamespace(
            containers=self._gateways,
            inspect_network=lambda name: {
                "Containers": {item: {} for item in self._networks[name] if not item.startswith("gateway")}
            },
            disconnect_container_from_network=lambda item, name, force: self._networks[name].remove(item),
        )
        self.images = SimpleNamespace(
            list=lambda filters: [SimpleNamespace(tags=list(tags))], remove=self._remove_image
        )

    def _listed_networks(self, filters: dict[str, Any]) -> list[Any]:
        assert filters["label"] == ["vaporforge.stack=vaporforge-dev", "vaporforge.role=sandbox"]
        return [
            SimpleNamespace(id=name, name=name, remove=functools.partial(self._remove_network, name))
            for name in self._networks
        ]

    def _gateways(self, filters: dict[str, Any], **_: Any) -> list[Any]:
        assert filters["label"] == ["vaporforge.stack=vaporforge-dev", "vaporforge.role=gateway"]
        on = {item for members in self._networks.values() for item in members if item.startswith("gateway")}
        return [
            {
                "Id": item,
                "NetworkSettings": {
                    "Networks": {name: {} for name, members in self._networks.items() if item in members}
                },
            }
            for item in on
        ]

    def _remove_network(self, name: str) -> None:
        if self.late:
            self._networks[name].append(self.late)
            self.late = ""
        if self._networks[name]:
            raise Conflict("has active endpoints")
        del self._networks[name]
        self.removed.append(name)

    def _remove_image(self, tag: str) -> None:
        if tag in self._in_use:
            raise Conflict("in use")
        self.removed.append(tag)

    def close(self) -> None:
        """As the SDK's."""

    def made(self, **asked: Any) -> Engine:
        """For `docker.from_env`."""
        self.asked = asked
        return self


def container(name: str, *env: str) -> Any:
    return SimpleNamespace(name=name, attrs={"Config": {"Env": list(env)}}, remove=lambda **_: None)


def test_a_name_that_another_deployment_has_is_refused_with_what_was_found_and_two_remedies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(
        volumes=("vaporforge-dev-table-1", "vaporforge-dev-blobs-1"),
        containers={"gateway": [container("vaporforge-dev-gateway-0-1"), container("z")]},
    )
    monkeypatch.setattr(docker, "from_env", engine.made)
    with pytest.raises(PluginError) as refused:
        SessionVolumesType().refuse(PROPS)
    message = str(refused.value)
    assert (
        "container vaporforge-dev-gateway-0-1, container z, volume vaporforge-dev-blobs-1 and 1 more"
        in message
    )
    assert "scripts/up --stack NAME" in message
    assert "docker volume ls -q --filter label=vaporforge.stack=vaporforge-dev | xargs" in message


def test_a_preview_says_that_another_deployment_has_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "from_env", Engine(volumes=("vaporforge-dev-table-1",)).made)

    def abort(_: object, message: str) -> None:
        raise PluginError(message)

    request = provider_pb2.CreateRequest(
        urn="urn:pulumi:dev::vaporforge::vaporforge-stack:index:SessionVolumes::vaporforge-dev-sessions",
        properties=to_wire(PROPS),
        preview=True,
    )
    with pytest.raises(PluginError, match="volume vaporforge-dev-table-1"):
        Provider(STACK, EngineLog("")).Create(request, SimpleNamespace(abort=abort))


def test_where_nothing_has_the_name_it_is_made_and_nothing_replaces_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(docker, "from_env", Engine().made)
    SessionVolumesType().refuse(PROPS)
    made, outputs = SessionVolumesType().create(CONTEXT, PROPS)
    assert made
    assert outputs == {}
    other = {"stack": "vaporforge-other", "dockerHost": "tcp://b:1"}
    changed = diff(SessionVolumesType.traits, PROPS, other)
    assert (sorted(changed.diffs), list(changed.replaces)) == (["dockerHost", "stack"], [])


NEVER_DYNAMIC = {f"vaporforge-stack:index:{kind}" for kind in ("SandboxTasks", "SecretFiles")}


@pytest.mark.parametrize("kind", sorted(STACK.types.keys() - NEVER_DYNAMIC))
def test_what_a_dynamic_resource_left_in_a_state_is_taken_out_in_place(kind: str) -> None:
    inputs = dict.fromkeys(STACK.types[kind].traits.inputs, "a")
    changed = diff(STACK.types[kind].traits, {**inputs, "__provider": "pickled"}, inputs)
    assert (list(changed.diffs), list(changed.replaces)) == (["__provider"], [])


def test_another_image_and_other_networks_are_other_things() -> None:
    image = diff(ImageTagType.traits, {"image": "a:1"}, {"image": "a:2"})
    assert list(image.replaces) == ["image"]
    networks = diff(SandboxContainersType.traits, {**PROPS, "scope": "1"}, {**PROPS, "scope": "2"})
    assert list(networks.replaces) == ["scope"]


def test_other_things_are_made_whatever_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "from_env", Engine(volumes=("vaporforge-dev-table-1",)).made)
    for made in (SandboxContainersType(), ImageTagType()):
        assert made.create(CONTEXT, {**PROPS, "scope": "a", "image": "b"})[0]


def test_images_of_earlier_agents_go_with_the_sandboxes(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = ("vaporforge-dev/agent:1", "vaporforge-dev/agent:2", "vaporforge-dev/agent:3", "mine:1")
    engine = Engine(tags=tags, in_use=("vaporforge-dev/agent:2",))
    monkeypatch.setattr(docker, "from_env", engine.made)
    SandboxContainersType().delete(CONTEXT, "id", PROPS)
    assert engine.removed == ["vaporforge-dev/agent:1", "vaporforge-dev/agent:3"]


def test_the_network_of_each_sandbox_goes_with_it_whoever_is_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(networks={"net-a": ["gateway-0", "stranger"], "net-b": []})
    engine.late = "gateway-new"
    monkeypatch.setattr(docker, "from_env", engine.made)
    SandboxContainersType().delete(CONTEXT, "id", PROPS)
    assert engine.removed == ["net-a", "net-b"]


def test_the_image_of_a_launcher_that_stays_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = container("launcher", "PATH=/bin", "VF_SANDBOX_IMAGE=vaporforge-dev/agent:2")
    engine = Engine(
        tags=("vaporforge-dev/agent:1", "vaporforge-dev/agent:2"), containers={"launcher": [launcher]}
    )
    monkeypatch.setattr(docker, "from_env", engine.made)
    SandboxContainersType().delete(CONTEXT, "id", PROPS)
    assert engine.removed == ["vaporforge-dev/agent:1"]


def test_an_engine_elsewhere_is_reached_with_the_variables_for_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", "/certs")
    engine = Engine()
    monkeypatch.setattr(docker, "from_env", engine.made)
    there = {"image": "vaporforge-dev/agent:1", "dockerHost": "tcp://there:2376"}
    ImageTagType().delete(CONTEXT, "id", there)
    environment = engine.asked["environment"]
    assert engine.asked["use_ssh_client"] is True
    assert [environment[name] for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")] == [
        "tcp://there:2376",
        "1",
        "/certs",
    ]
