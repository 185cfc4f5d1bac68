"""Commands side by side on one state folder: the second to deploy or to stop is refused before it touches anything."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scripts.shell import Clone, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

HOLD = '. "$0/lib/env.sh"; state_alone; echo held; cat'


def environment(folder: Path, state: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "VF_CACHE": str(folder / "cache"),
        "VF_STATE": str(folder / state),
    }


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that deploys from the folder `first`."""
    with subprocess.Popen(
        ["bash", "-euc", HOLD, SCRIPTS],
        env=environment(tmp_path, "first"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("command", ["up", "down", "rotate"])
def test_the_second_is_refused_and_told_how_to_choose_another_folder(
    holder: subprocess.Popen[str], tmp_path: Path, command: str
) -> None:
    before = sorted((tmp_path / "first").rglob("*"))
    done = subprocess.run(
        [SCRIPTS / command],
        env=environment(tmp_path, "first"),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: process {holder.pid} deploys or stops a stack")
    assert f"VF_STATE=FOLDER {SCRIPTS / command}" in line
    assert sorted((tmp_path / "first").rglob("*")) == before


def test_another_folder_and_a_dead_holder_hinder_nobody(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    take = ["bash", "-euc", HOLD, str(SCRIPTS)]
    for state in ("second", "first"):
        done = subprocess.run(
            take,
            env=environment(tmp_path, state),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.stdout == "held\n", done.stderr
        holder.kill()
        holder.wait(30)


def test_a_set_up_that_goes_on_after_its_killed_command_hinders_nobody(clone: Clone) -> None:
    clone.part("infra", 'echo >"$FAKES/begun"; sleep 60 & echo $! >"$FAKES/child"; wait')
    with subprocess.Popen([clone.folder / "scripts" / "up"], env=clone.environ) as up:
        child = wait_for(clone.folder / "fakes" / "child").strip()
        up.kill()
    done = clone.shell("state_alone; echo held")
    clone.shell(f"kill {child}")
    assert done.stdout == "held\n", done.stderr


def test_a_folder_may_be_named_from_where_the_command_is_given(clone: Clone) -> None:
    script = 'cd "$HOME"; export VF_STATE=mine VF_CACHE=kept; . "$0/env.sh"; echo "$VF_STATE $VF_CACHE"'
    told = clone.shell(script)
    assert told.stdout == f"{clone.folder}/mine {clone.folder}/kept\n", told.stderr


def test_help_within_a_value_is_no_question(clone: Clone) -> None:
    asked = clone.shell('asks_help --agent "serve -h 1" || echo no; asks_help --stack x -h && echo yes')
    assert asked.stdout == "no\nyes\n", asked.stderr


def test_two_tables_are_never_in_one_folder(tmp_path: Path) -> None:
    # `java` is a fake: what is asked for is the refusal that comes before it.
    (tmp_path / "bin").mkdir()
    java = tmp_path / "bin" / "java"
    java.write_text("#!/bin/sh\necho serving\nexec sleep 600\n")
    java.chmod(0o755)
    environ = environment(tmp_path, "state") | {"PATH": f"{java.parent}:/usr/bin:/bin"}
    stamp = tmp_path / "cache" / "dynamodb-local" / "stamp"
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    command = [str(SCRIPTS / "dynamodb"), "--port", "18000", "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "serving\n"
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50, check=False)
        first.kill()
    assert (done.returncode, done.stdout) == (1, "")
    assert f"process {first.pid} has {tmp_path / 'data'} open already" in done.stderr
