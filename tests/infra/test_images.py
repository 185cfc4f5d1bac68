"""What names an image, and what a changed file changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.config import ROOT, read_settings
from infra.targets.docker import deploy
from tests.infra.mocked import run

FOLDERS = ("gateway", "container", "infra/proxy")


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
        ("container/listener/guard.py", {"gateway", "agent"}),
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


def test_an_executable_bit_is_a_change_and_other_modes_are_none(
    tree: Path, unchanged: dict[str, str]
) -> None:
    (tree / "infra/proxy/start").chmod(0o700)
    assert names(tree) == unchanged
    (tree / "infra/proxy/start").chmod(0o600)
    assert names(tree)["proxy"] != unchanged["proxy"]


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


def test_contexts_are_relative_to_the_program() -> None:
    declared = run(lambda: declare(ROOT))
    builds = {item.name: item.inputs["build"] for item in declared.of_type(":Image")}
    assert builds["vaporforge-test-gateway"]["context"] == ".."
    assert builds["vaporforge-test-gateway"]["dockerfile"] == "../gateway/Dockerfile"
    assert builds["vaporforge-test-agent"]["context"] == "../container"
    assert all(item.inputs["skipPush"] for item in declared.of_type(":Image"))


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
