"""A stack keeps the docker plugin that it was deployed with until somebody asks for the other one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.cli import dockerplugin
from infra.cli.dockerplugin import FOLDER, OFFICIAL, STAND_IN, VERSION, Choice, Plugins
from infra.cli.errors import CliError


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    return Plugins(tmp_path, {"PULUMI_HOME": str(tmp_path / "home"), "PATH": "/bin"})


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch, plugins: Plugins) -> Callable[[bool], list[int]]:
    """Whether a download of the official plugin works from now on; the list grows with each that is tried."""

    def set_to(works: bool) -> list[int]:
        tried: list[int] = []

        def install(_: object) -> bool:
            tried.append(1)
            if works:
                (Path(plugins.environ["PULUMI_HOME"]) / "plugins" / f"resource-docker-v{VERSION}").mkdir(
                    parents=True
                )
            return works

        monkeypatch.setattr(dockerplugin, "_install", install)
        return tried

    return set_to


def a_day_passes(plugins: Plugins) -> None:
    then = time.time() - 25 * 3600
    os.utime(plugins.state / "docker-plugin-unreachable", (then, then))


def first(plugins: Plugins, stack: str = "dev") -> Choice:
    """A first update."""
    choice = plugins.choose(stack, exists=False)
    plugins.keep(stack, choice)
    return choice


def test_a_stack_of_the_stand_in_keeps_it_when_the_official_one_can_be_had(
    plugins: Plugins, reachable: Callable[[bool], list[int]]
) -> None:
    reachable(False)
    assert first(plugins).name == STAND_IN
    a_day_passes(plugins)
    tried = reachable(True)
    again = plugins.choose("dev", exists=True)
    assert (again.name, again.moved) == (STAND_IN, False)
    assert tried == [], "nobody asked"
    # Another stack begins with the official one; then the first is told how it would get there.
    assert first(plugins, "new").name == OFFICIAL
    assert "--docker-plugin official" in plugins.choose("dev", exists=True).words


def test_a_stack_of_the_official_one_is_not_given_the_stand_in_by_itself(
    plugins: Plugins, reachable: Callable[[bool], list[int]]
) -> None:
    plugins.keep("dev", Choice(OFFICIAL))
    reachable(False)
    with pytest.raises(CliError, match="--docker-plugin stand-in moves it"):
        plugins.choose("dev", exists=True)
    assert plugins.choose("dev", exists=True, asked=STAND_IN).moved


def test_who_asks_moves_it_and_is_told_first(
    plugins: Plugins, reachable: Callable[[bool], list[int]]
) -> None:
    reachable(False)
    first(plugins)
    with pytest.raises(CliError, match="nothing was changed"):
        plugins.choose("dev", exists=True, asked=OFFICIAL)
    reachable(True)
    choice = plugins.choose("dev", exists=True, asked=OFFICIAL)
    assert (choice.name, choice.moved) == (OFFICIAL, True)
    assert "makes anew" in choice.words
    assert "--preview" in choice.words
    assert plugins.kept("dev") == STAND_IN, "asking alone moves nothing"
    plugins.keep("dev", choice)
    assert plugins.choose("dev", exists=True) == Choice(OFFICIAL)


def test_what_was_asked_for_already_is_no_move(
    plugins: Plugins, reachable: Callable[[bool], list[int]]
) -> None:
    reachable(False)
    first(plugins)
    assert not plugins.choose("dev", exists=True, asked=STAND_IN).moved


@pytest.mark.parametrize("unreachable", [True, False])
def test_a_stack_of_0_20_keeps_what_did_its_work(
    plugins: Plugins, reachable: Callable[[bool], list[int]], unreachable: bool
) -> None:
    """It wrote nothing down, but for where the official one could not be had."""
    if unreachable:
        (plugins.state / "docker-plugin-unreachable").write_text(VERSION)
        a_day_passes(plugins)
    reachable(True)
    assert plugins.choose("dev", exists=True).name == (STAND_IN if unreachable else OFFICIAL)


def test_a_failed_download_is_not_tried_again_for_the_next_new_stack(
    plugins: Plugins, reachable: Callable[[bool], list[int]]
) -> None:
    tried = reachable(False)
    assert [first(plugins, name).name for name in ("a", "b")] == [STAND_IN, STAND_IN]
    assert tried == [1]
    a_day_passes(plugins)
    first(plugins, "c")
    assert tried == [1, 1]


def test_a_stack_that_is_gone_is_forgotten(plugins: Plugins, reachable: Callable[[bool], list[int]]) -> None:
    reachable(False)
    first(plugins)
    plugins.forget("dev")
    plugins.forget("dev")
    assert plugins.kept("dev") == ""


def test_the_stand_in_comes_before_any_other_on_the_path() -> None:
    assert Choice(STAND_IN).environment({"PATH": "/bin"})["PATH"] == f"{FOLDER}{os.pathsep}/bin"
    assert (FOLDER / "pulumi-resource-docker").is_file()
    assert Choice(OFFICIAL).environment({"PATH": "/bin"}) == {}
