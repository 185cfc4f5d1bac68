"""What the commands ask of Pulumi, and what they say when it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from pulumi.automation import CommandError, ConcurrentUpdateError, Stack, StackNotFoundError
from pulumi.automation._cmd import CommandResult

from infra.cli import stack as stack_module
from infra.cli.dockerplugin import OFFICIAL, STAND_IN, Choice, Plugins
from infra.cli.engine import lost_images
from infra.cli.errors import CliError
from infra.cli.stack import Deployment
from infra.cli.state import State, read_yaml

FAILED = CommandResult(code=255, stdout="all\n", stderr="error: no such container\nmore\n error: nor network")


def image(urn: str, name: str, **inputs: bool) -> dict[str, Any]:
    """As a state has it."""
    return {"urn": urn, "type": "docker:index/image:Image", "inputs": {"imageName": name, **inputs}}


IMAGES: list[dict[str, Any]] = [
    image("urn:gateway", "dev/gateway:1", skipPush=True),
    image("urn:agent", "dev/agent:1", skipPush=True),
    image("urn:old", "dev/agent:0", skipPush=True) | {"delete": True},
    image("urn:pushed", "registry.example/gateway:1", skipPush=False),
    {"urn": "urn:network", "type": "docker:index/network:Network", "inputs": {}},
]


class FakeStack:
    """Pulumi's `Stack`. `failures`: what its next updates raise."""

    def __init__(self, *failures: Exception) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.config: dict[str, Any] = {}
        self.removed = False
        self.made = True
        self.resources = IMAGES
        self._failures = list(failures)
        self.workspace = SimpleNamespace(remove_stack=self._remove)

    def up(self, **options: Any) -> Any:
        return self._call("up", options)

    def preview(self, **options: Any) -> Any:
        return self._call("preview", options)

    def destroy(self, **options: Any) -> Any:
        return self._call("destroy", options)

    def export_stack(self) -> Any:
        return SimpleNamespace(version=3, deployment={"resources": self.resources})

    def _call(self, name: str, options: dict[str, Any]) -> Any:
        self.calls.append((name, options))
        self.config = read_yaml(Path(options["config_file"]))["config"]
        if self._failures:
            raise self._failures.pop(0)
        return SimpleNamespace(outputs={"url": SimpleNamespace(value="http://here")})

    def _remove(self, name: str, **_: Any) -> None:
        self.removed = True
        self.made = False


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    environ = {"VF_STATE": str(tmp_path), "PULUMI_HOME": str(tmp_path / "none")}
    return Deployment("dev", State.of_machine(environ), environ)


@pytest.fixture
def selects(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeStack], FakeStack]:
    def select(fake: FakeStack) -> FakeStack:
        def selected(_: Deployment) -> Any:
            if not fake.made:
                raise StackNotFoundError(FAILED)
            return fake

        monkeypatch.setattr(Deployment, "_select", selected)
        # Pulumi's own asks for the CLI at once.
        monkeypatch.setattr(Deployment, "_workspace", lambda _: None)
        monkeypatch.setattr(Stack, "create", lambda *_: setattr(fake, "made", True))
        return fake

    return select


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the images on the engine."""
    names = {"dev/gateway:1", "dev/agent:1"}

    def get(name: str) -> object:
        if name not in names:
            raise docker.errors.ImageNotFound("gone")
        return object()

    nothing = SimpleNamespace(list=lambda **_: [])
    client = SimpleNamespace(
        images=SimpleNamespace(get=get),
        containers=nothing,
        networks=nothing,
        volumes=nothing,
        close=lambda: None,
    )
    monkeypatch.setattr(docker, "from_env", lambda **_: client)
    return names


def test_an_image_that_the_engine_lost_is_built_again(
    deployment: Deployment,
    selects: Callable[[FakeStack], FakeStack],
    engine: set[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake = selects(FakeStack())
    engine.remove("dev/agent:1")
    assert deployment.up(running=True) == {"url": "http://here"}
    assert fake.calls[0][1]["replace"] == ["urn:agent"]
    assert "dev/agent:1 is no longer on the Docker engine" in capsys.readouterr().err
    deployment.up(running=False)
    assert fake.calls[1][1]["replace"] is None


def test_while_all_images_are_there_nothing_is_replaced(
    deployment: Deployment, selects: Callable[[FakeStack], FakeStack], engine: set[str]
) -> None:
    fake = selects(FakeStack())
    deployment.up(running=True)
    assert fake.calls[0][1]["replace"] is None


@pytest.mark.parametrize(
    ("choice", "refreshed"),
    [
        (Choice(STAND_IN), None),
        (Choice(OFFICIAL), None),
        (Choice(STAND_IN, moved=True), None),
        (Choice(OFFICIAL, moved=True), True),
    ],
)
def test_a_move_to_the_official_docker_plugin_looks_first_and_is_written_down_when_it_is_made(
    choice: Choice,
    refreshed: bool | None,
    deployment: Deployment,
    selects: Callable[[FakeStack], FakeStack],
    engine: set[str],
) -> None:
    fake = selects(FakeStack())
    chosen = replace(deployment, choice=choice)
    plugins = Plugins(deployment.state.folder, deployment.environ)
    chosen.preview({})
    assert plugins.kept("dev") == ""
    chosen.up(running=True)
    assert plugins.kept("dev") == choice.name
    assert [options["refresh"] for _, options in fake.calls] == [refreshed, refreshed]
    chosen.destroy()
    assert plugins.kept("dev") == ""


def test_an_engine_that_is_away_has_lost_nothing() -> None:
    assert lost_images(IMAGES, "", {}) == {}


def test_it_runs_or_stops_whatever_is_configured(
    deployment: Deployment, selects: Callable[[FakeStack], FakeStack], engine: set[str]
) -> None:
    fake = selects(FakeStack())
    deployment.state.write_own("dev", {"running": "false"})
    deployment.up(running=True)
    assert fake.config["vaporforge:running"] == "true"
    deployment.up(running=False)
    assert fake.config["vaporforge:running"] == "false"


def test_a_preview_asks_what_an_update_would_and_leaves_no_file(
    deployment: Deployment, selects: Callable[[FakeStack], FakeStack], engine: set[str]
) -> None:
    fake = selects(FakeStack())
    engine.remove("dev/agent:1")
    deployment.state.write_own("dev", {"running": "false", "port": "9000"})
    kept = read_yaml(deployment.state.own_file("dev"))
    assert deployment.preview({"port": "9001"}).changes == 0
    [(name, options)] = fake.calls
    assert (name, options["replace"]) == ("preview", ["urn:agent"])
    assert (fake.config["vaporforge:running"], fake.config["vaporforge:port"]) == ("true", "9001")
    assert not Path(options["config_file"]).exists()
    assert read_yaml(deployment.state.own_file("dev")) == kept
    assert not fake.removed


@pytest.mark.parametrize("failures", [[], [CommandError(FAILED)]], ids=["fine", "refused"])
def test_a_preview_of_a_stack_that_is_not_there_leaves_none(
    deployment: Deployment,
    selects: Callable[[FakeStack], FakeStack],
    engine: set[str],
    failures: list[Exception],
) -> None:
    fake = selects(FakeStack(*failures))
    fake.made = False
    if failures:
        with pytest.raises(CliError, match="no such container"):
            deployment.preview({})
    else:
        deployment.preview({})
    assert fake.removed
    assert not deployment.state.own_file("dev").exists()
    assert sorted(path.name for path in deployment.state.folder.rglob("*.yaml")) == ["Pulumi.yaml"]


def test_a_destroy_that_fails_is_tried_once_more_after_a_refresh(
    deployment: Deployment, selects: Callable[[FakeStack], FakeStack], capsys: pytest.CaptureFixture[str]
) -> None:
    fake = selects(FakeStack(CommandError(FAILED)))
    deployment.destroy()
    assert [options["refresh"] for _, options in fake.calls] == [False, True]
    assert fake.removed
    assert "once more" in capsys.readouterr().err


def test_a_destroy_that_fails_twice_keeps_the_stack(
    deployment: Deployment, selects: Callable[[FakeStack], FakeStack]
) -> None:
    fake = selects(FakeStack(CommandError(FAILED), CommandError(FAILED)))
    with pytest.raises(CliError):
        deployment.destroy()
    assert not fake.removed


def test_a_protected_stack_is_not_destroyed_and_what_would_be_is_told(
    deployment: Deployment, selects: Callable[[FakeStack], FakeStack]
) -> None:
    fake = selects(FakeStack())
    fake.resources = [
        *IMAGES,
        {"urn": "urn:pulumi:dev::x::aws:Table::dev-table", "type": "t", "protect": True},
    ]
    with pytest.raises(CliError, match=r"nothing of it was deleted: dev-table would go.*--set protect=false"):
        deployment.destroy()
    assert fake.calls == []
    assert not fake.removed


def test_a_destroy_beside_another_update_is_not_tried_again(
    deployment: Deployment, selects: Callable[[FakeStack], FakeStack]
) -> None:
    fake = selects(FakeStack(ConcurrentUpdateError(FAILED)))
    with pytest.raises(CliError, match="another update of the stack dev is under way; where it was killed"):
        deployment.destroy()
    assert len(fake.calls) == 1


def test_what_pulumi_reports_is_a_sentence(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Deployment) -> Any:
        raise CommandError(FAILED)

    monkeypatch.setattr(Deployment, "_select", fails)
    for call in (deployment.exists, deployment.outputs, deployment.destroy):
        with pytest.raises(CliError, match=r"^no such container\nnor network$"):
            call()


def test_a_pulumi_that_was_killed_is_told_with_the_remedy(
    deployment: Deployment, selects: Callable[[FakeStack], FakeStack], engine: set[str]
) -> None:
    selects(FakeStack(CommandError(CommandResult(code=-9, stdout="", stderr=""))))
    with pytest.raises(CliError, match="pulumi was killed; the same command again"):
        deployment.up(running=True)


def test_a_stack_that_was_never_made_does_not_exist(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: Deployment) -> Any:
        raise StackNotFoundError(FAILED)

    monkeypatch.setattr(Deployment, "_select", missing)
    assert deployment.exists() is False


def test_a_missing_pulumi_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CliError, match="scripts/setup pulumi"):
        stack_module.Deployment.of_machine("dev")
