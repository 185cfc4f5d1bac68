"""What names an image, and what a changed file changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.components.docker.machine import Machine
from infra.config import ROOT, read_settings
from infra.images import LIBRARIES
from infra.targets.docker import deploy
from infra.values import ConfigError
from tests.infra.mocked import run

FOLDERS = ("gateway", "container", "infra/proxy", "infra/egress")


def copied(to: Path) -> Path:
    """The parts of the project that images are made of."""
    for folder in FOLDERS:
        leave = shutil.ignore_patterns("node_modules", "__pycache__")
        shutil.copytree(ROOT / folder, to / folder, ignore=leave)
    shutil.copy(ROOT / ".dockerignore", to)
    return to


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Those, to be changed at will."""
    return copied(tmp_path)


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The images' names before any change: of a tree elsewhere, for the place is no part of them."""
    return names(copied(tmp_path_factory.mktemp("unchanged")))


def declare(tree: Path) -> None:
    deploy(read_settings(), tree)


def names(tree: Path, **config: str) -> dict[str, str]:
    found: dict[str, str] = {}
    run(lambda: found.update(deploy(read_settings(), tree).images), config)
    return found


def changed(tree: Path, path: str, before: dict[str, str]) -> set[str]:
    """The images that get another name when a line is added to a file, or the file made."""
    with (tree / path).open("a") as file:
        file.write("# a change\n")
    after = names(tree)
    return {part for part in before if before[part] != after[part]}


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("gateway/runs/service.py", {"gateway"}),
        ("gateway/static/page.js", {"gateway"}),
        ("gateway/requirements.txt", {"gateway"}),
        ("gateway/Dockerfile", {"gateway"}),
        ("container/runs/framelog.py", {"agent"}),
        ("container/agents/demo.py", {"agent"}),
        ("container/Dockerfile", {"agent"}),
        ("container/protocol.py", {"gateway", "agent"}),
        ("container/claim.py", {"gateway", "agent"}),
        ("container/listener/guard.py", {"gateway", "agent"}),
        ("container/redaction/shapes.py", {"gateway", "agent"}),
        ("infra/proxy/haproxy.cfg", {"proxy"}),
        ("gateway/__pycache__/runs.cpython-311.pyc", set()),
        ("README.md", set()),
    ],
)
def test_a_file_changes_the_images_that_it_is_in_and_no_others(
    path: str, parts: set[str], tree: Path, unchanged: dict[str, str]
) -> None:
    (tree / path).parent.mkdir(exist_ok=True)
    assert changed(tree, path, unchanged) == parts


def test_the_forward_proxy_s_image_is_there_with_egress_alone(tree: Path, unchanged: dict[str, str]) -> None:
    with_egress = names(tree, egress="registries")
    assert set(with_egress) - set(unchanged) == {"egress"}
    (tree / "infra/egress/start").write_text("#!/bin/sh\n")
    changed_one = names(tree, egress="registries")
    assert {part for part in with_egress if with_egress[part] != changed_one[part]} == {"egress"}


def test_modes_on_disk_are_no_change(tree: Path, unchanged: dict[str, str]) -> None:
    for mode in (0o700, 0o600, 0o666):
        (tree / "infra/proxy/start").chmod(mode)
        assert names(tree) == unchanged


@pytest.mark.parametrize(
    "path",
    [
        "gateway/runs/.service.py.swp",
        "gateway/.DS_Store",
        "gateway/app.py~",
        "gateway/#app.py#",
        "gateway/app.py.orig",
        "container/runs/.#run.py",
        "container/run.py.swp",
        "infra/proxy/.haproxy.cfg.swp",
        "infra/proxy/haproxy.cfg~",
    ],
)
def test_what_an_editor_leaves_is_no_change(path: str, tree: Path, unchanged: dict[str, str]) -> None:
    assert changed(tree, path, unchanged) == set()


def test_the_link_that_an_editor_locks_a_file_with_is_no_change(
    tree: Path, unchanged: dict[str, str]
) -> None:
    (tree / "container/.#settings.py").symlink_to("ada@here.1234:1795900000")
    assert names(tree) == unchanged


def test_the_same_tree_elsewhere_has_the_same_names(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    shutil.copytree(tree, other, ignore=shutil.ignore_patterns("elsewhere"))
    assert names(tree) == names(other)


def test_build_arguments_are_part_of_the_name(tree: Path, unchanged: dict[str, str]) -> None:
    assert unchanged["proxy"] != names(tree, baseImage="debian:12")["proxy"]


def test_only_the_real_agent_makes_the_image_large(tree: Path, unchanged: dict[str, str]) -> None:
    slim, full = unchanged, names(tree, agent="claude")
    assert slim["agent"] != full["agent"]
    assert (slim["gateway"], slim["proxy"]) == (full["gateway"], full["proxy"])
    assert names(tree, agent="my-own-program")["agent"] == slim["agent"]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("empty", [True, False])
def test_a_page_without_its_libraries_is_refused_at_preview(library: str, empty: bool, tree: Path) -> None:
    vendor = tree / "gateway/static/vendor"
    vendor.mkdir(exist_ok=True)
    for name in LIBRARIES:
        (vendor / name).write_text("export {};\n")
    run(lambda: declare(tree), page=True)
    (vendor / library).write_text("")
    if not empty:
        (vendor / library).unlink()
    with pytest.raises(
        ConfigError, match=rf"^gateway/static/vendor/{library} is missing: run scripts/setup page"
    ):
        run(lambda: declare(tree), page=True)
    run(lambda: declare(tree), {"running": "false"}, page=True)


def test_contexts_are_relative_to_the_program() -> None:
    declared = run(lambda: declare(ROOT))
    builds = {item.name: item.inputs["build"] for item in declared.of_type(":Image")}
    assert builds["vaporforge-test-gateway"]["context"] == ".."
    assert builds["vaporforge-test-gateway"]["dockerfile"] == "../gateway/Dockerfile"
    assert builds["vaporforge-test-agent"]["context"] == "../container"
    assert all(item.inputs["skipPush"] for item in declared.of_type(":Image"))


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_images_are_built_for_the_engine_whatever_machine_asks_it(platform: str) -> None:
    machine = Machine(memory_mb=32_000, cpus=16, platform=platform)
    declared = run(lambda: declare(ROOT), machine=machine)
    assert {item.inputs["build"]["platform"] for item in declared.of_type(":Image")} == {platform}


def test_an_engine_that_does_not_answer_has_no_platform() -> None:
    declared = run(lambda: declare(ROOT))
    assert not any("platform" in item.inputs["build"] for item in declared.of_type(":Image"))


def test_a_changed_agent_leaves_the_gateways_alone(tree: Path) -> None:
    def containers() -> dict[str, str]:
        declared = run(lambda: declare(tree))
        return {item.name: str(item.inputs) for item in declared.of_type(":Container")}

    before = containers()
    (tree / "container/runs/framelog.py").write_text("# another\n")
    after = containers()
    assert {name for name in before if before[name] != after[name]} == {"vaporforge-test-launcher"}


def test_a_changed_gateway_replaces_gateways_and_launcher_only(tree: Path) -> None:
    def containers() -> dict[str, str]:
        declared = run(lambda: declare(tree))
        return {item.name: str(item.inputs) for item in declared.of_type(":Container")}

    before = containers()
    (tree / "gateway/runs/service.py").write_text("# another\n")
    after = containers()
    assert {name for name in before if before[name] != after[name]} == {
        "vaporforge-test-launcher",
        "vaporforge-test-gateway-0",
        "vaporforge-test-gateway-1",
    }
