"""What Pulumi does not know of a stack goes; what it knows, a sandbox, and another deployment's stay."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from docker.models.networks import Network
from docker.models.volumes import Volume

from infra.cli.recovery.orphans import Known, remove_orphans

STATE: dict[str, Any] = {
    "resources": [
        {"type": "docker:index/volume:Volume", "id": "blobs-1"},
        {"type": "docker:index/container:Container", "id": "c-known"},
        {"type": "docker:index/network:Network", "id": "n-known"},
        {"type": "vaporforge:docker:Data"},
    ],
    "pending_operations": [
        {"type": "creating", "resource": {"inputs": {"name": "table-new"}}},
        {"type": "creating", "resource": {"inputs": {"name": "gateway-new"}}},
        {"type": "deleting", "resource": {"inputs": {"name": "proxy-old"}}},
    ],
}


class Engine:
    """Docker's client. `removed`: what was taken away."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.used = ""
        self.api = self
        client: Any = self
        self.there: list[Any] = [
            Container(self._part("c-known", "gateway-0", "gateway"), client),
            Container(self._part("c-lost", "gateway-lost", "gateway"), client),
            Container(self._part("c-new", "gateway-new", "gateway"), client),
            Container(self._part("c-sandbox", "sandbox-1", "sandbox"), client),
            Network({"Id": "n-known", "Name": "public"}, client),
            Network({"Id": "n-lost", "Name": "public-lost"}, client),
            Network({"Id": "n-sandbox", "Name": "net-1", "Labels": {"vaporforge.role": "sandbox"}}, client),
            *(self._volume(name, "blobs") for name in ("blobs-1", "blobs-lost")),
            self._volume("table-new", "table"),
            self._volume("session-1", "workspace"),
        ]
        self.containers, self.networks, self.volumes = map(self._listed, (Container, Network, Volume))

    def _part(self, id_: str, name: str, role: str, volume: str = "blobs-1") -> dict[str, Any]:
        labels = {"vaporforge.role": role}
        return {"Id": id_, "Name": f"/{name}", "Config": {"Labels": labels}, "Mounts": [{"Name": volume}]}

    def another(self) -> None:
        """Deploys the same name, as VaporForge 0.20 let it."""
        client: Any = self
        self.there.append(
            Container(self._part("c-theirs", "gateway-theirs", "gateway", "blobs-lost"), client)
        )

    def _volume(self, name: str, role: str) -> Volume:
        client: Any = self
        return Volume({"Name": name, "Labels": {"vaporforge.role": role}}, client)

    def _listed(self, kind: type) -> Any:
        def listed(filters: dict[str, str], **_: Any) -> list[Any]:
            assert filters == {"label": "vaporforge.stack=vaporforge-dev"}
            return [item for item in self.there if isinstance(item, kind)]

        return SimpleNamespace(list=listed)

    def stop(self, *_: Any, **__: Any) -> None:
        """A container's."""

    def remove_container(self, id_: str, **_: Any) -> None:
        self.removed.append(id_)

    def remove_network(self, id_: str) -> None:
        if id_ == self.used:
            answer: Any = SimpleNamespace(status_code=403)
            raise docker.errors.APIError("it has active endpoints", answer)
        self.removed.append(id_)

    def remove_volume(self, id_: str, **_: Any) -> None:
        self.removed.append(id_)

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine()
    monkeypatch.setattr(docker, "from_env", lambda **_: made)
    return made


def sweep(
    state: dict[str, Any] = STATE, later: dict[str, Any] = STATE, *, volumes: bool = False
) -> list[str]:
    known = Known.of(state)
    return remove_orphans("vaporforge-dev", known, "", {}, look=lambda: Known.of(later), volumes=volumes)


def test_containers_and_networks_that_pulumi_does_not_know_go(engine: Engine) -> None:
    told = sweep()
    assert engine.removed == ["c-lost", "c-new", "n-lost", "table-new"]
    assert told[0] == "container gateway-lost"


def test_with_the_stack_its_unknown_volumes_go(engine: Engine) -> None:
    sweep(volumes=True)
    assert engine.removed == ["c-lost", "c-new", "n-lost", "blobs-lost", "table-new"]


def test_where_the_volumes_are_another_deployments_only_what_was_being_made_goes(engine: Engine) -> None:
    engine.there = [item for item in engine.there if item.id != "blobs-1"]
    sweep(volumes=True)
    assert engine.removed == ["c-new", "table-new"]


def test_beside_another_deployment_with_its_data_only_what_was_being_made_goes(engine: Engine) -> None:
    engine.another()
    sweep(volumes=True)
    assert engine.removed == ["c-new", "table-new"]


def test_what_another_run_has_begun_to_make_meanwhile_stays(engine: Engine) -> None:
    made = {"type": "docker:index/container:Container", "id": "c-lost"}
    making = {"type": "creating", "resource": {"inputs": {"name": "public-lost"}}}
    sweep(later={"resources": [*STATE["resources"], made], "pending_operations": [making]})
    assert engine.removed == ["c-new", "table-new"]


def test_what_is_in_use_stays_and_the_rest_goes_and_is_told(engine: Engine) -> None:
    engine.used = "n-lost"
    assert sweep() == ["container gateway-lost", "container gateway-new", "volume table-new"]


def test_an_engine_that_is_away_has_no_orphans(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: Any) -> Any:
        raise docker.errors.DockerException("nobody listens")

    monkeypatch.setattr(docker, "from_env", away)
    assert sweep() == []
