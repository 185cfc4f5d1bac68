"""Parts of the set-up side by side: their order, what they show, their times, and how they end."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.scripts.shell import Clone, wait_for

MEET = 'echo >"$FAKES/{mine}"; for _ in {{1..400}}; do [ ! -e "$FAKES/{other}" ] || return 0; sleep 0.1; done; return 1'
"""A part that ends well only if the other one is under way at the same time."""

SLEEPS = 'echo "$BASHPID" >"$FAKES/pid"; sleep 60 & echo $! >"$FAKES/child"; wait'


def test_parts_that_do_not_build_on_each_other_are_set_up_side_by_side(clone: Clone) -> None:
    clone.part("page", MEET.format(mine="page", other="pulumi"))
    clone.part("pulumi", MEET.format(mine="pulumi", other="page"))
    done = clone.setup("page", "pulumi")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_images_wait_for_the_engine_and_take_what_it_chose(clone: Clone) -> None:
    """Whatever the order in which they are named, and not for anything else."""
    clone.part("docker", 'sleep 0.5; echo 1.41 >"$VF_STATE/docker-api"')
    images = ("dynamodb-image", "ministack-image", "base")
    for name in images:
        clone.part(name, f'echo "$DOCKER_API_VERSION" >"$FAKES/{name}"')
    done = clone.setup(*images, "docker")
    assert done.returncode == 0, done.stderr
    assert [(clone.folder / "fakes" / name).read_text() for name in images] == ["1.41\n"] * 3
    assert clone.setup("base").returncode == 0


def test_what_only_root_may_install_is_named_where_there_is_no_sudo(clone: Clone) -> None:
    clone.fake("apt-get", "")
    clone.fake("id", "echo 1000")
    clone.part("chromium", "apt_install chromium fonts")
    done = clone.setup("chromium")
    assert done.returncode == 1
    assert "error: apt-get install chromium fonts needs root, and there is no sudo" in done.stderr


def test_one_that_fails_ends_the_others_and_says_why(clone: Clone) -> None:
    clone.part("pulumi", SLEEPS)
    clone.part("docker", 'until [ -s "$FAKES/child" ]; do sleep 0.02; done; die "no engine"')
    clone.part("base", 'echo >"$FAKES/base"')
    done = clone.setup("pulumi", "docker", "base")
    assert done.returncode == 1
    assert "error: no engine\n==> docker: failed after" in done.stderr
    assert clone.have_ended("pid", "child")
    assert not (clone.folder / "fakes" / "base").exists()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_that_it_started(number: int, status: int, clone: Clone) -> None:
    clone.part("pulumi", SLEEPS)
    with clone.start("pulumi") as setup:
        wait_for(clone.folder / "fakes" / "child")
        setup.send_signal(number)
        setup.communicate(timeout=30)
    assert setup.returncode == status
    assert clone.have_ended("pid", "child")


def test_what_installs_packages_is_not_ended_in_the_midst(clone: Clone) -> None:
    script = 'cp "$(command -v sleep)" "$FAKES/apt-get"; "$FAKES/apt-get" 60 & echo $! >"$FAKES/child"; wait'
    clone.part("chromium", script)
    with clone.start("chromium") as setup:
        pid = int(wait_for(clone.folder / "fakes" / "child"))
        wait_for_name(pid, "apt-get")
        setup.send_signal(signal.SIGTERM)
        assert setup.wait(30) == 143
        still = Path(f"/proc/{pid}/comm").read_text() if Path(f"/proc/{pid}").exists() else ""
        assert still == "apt-get\n"
        clone.shell(f"kill {pid}")


def wait_for_name(pid: int, name: str) -> None:
    while Path(f"/proc/{pid}/comm").read_text() != f"{name}\n":
        pass


def test_the_time_of_each_part_is_kept_for_who_tells_it(clone: Clone) -> None:
    clone.part("page", "sleep 1.1")
    clone.part("pulumi", ":")
    times = clone.folder / "times"
    done = clone.setup("page", "pulumi", VF_TIMES=str(times))
    assert times.read_text() == "page 1 s\n"
    assert "==> page: ready (1 s)\n" in done.stderr
    assert "==> pulumi: ready\n" in done.stderr


def test_the_time_of_each_part_is_told_at_the_end(clone: Clone) -> None:
    told = clone.shell('outer=; together_took=("docker 4 s" "pulumi 250 s"); together_times 251', "together")
    assert told.stderr == "==> set-up: 251 s (docker 4 s, pulumi 250 s)\n"
    assert clone.shell('outer=; together_took=("docker 4 s"); together_times 4', "together").stderr == ""


SHOW = """
VF_PROGRESS=$(mktemp -d); outer=; shown=0
VF_PART=base doing "making it" echo 3 of 7
VF_PART="dynamodb-image dynamodb" doing "fetching it with Maven"
VF_PART=pulumi doing "compiling" false
date() { echo "$(($(command date +%s) + 60))"; }
SECONDS=10; together_show
SECONDS=19; together_show
"""


def test_a_long_wait_shows_what_it_does_and_how_far_it_is(clone: Clone) -> None:
    told = clone.shell(SHOW, "together")
    line = (
        "base: making it, \\d+ s, 3 of 7 [|] dynamodb-image dynamodb: fetching it with Maven, \\d+ s [|] "
        "pulumi: compiling, \\d+ s"
    )
    assert [re.fullmatch(f"==> {line}", found) is not None for found in told.stderr.splitlines()] == [True]


def test_a_terminal_has_it_in_one_line_that_other_lines_erase(clone: Clone) -> None:
    told = clone.shell(f"VF_LINE=$'\\r\\e[K'; {SHOW}\nlog next", "together")
    # \r is read as \n.
    shown, after = told.stderr.split("\n\x1b[K")[-2:]
    assert shown.startswith("base: making it, 6")
    assert len(shown) == 79
    assert after == "==> next\n"


@pytest.mark.parametrize(
    ("library", "command", "log", "text", "far"),
    [
        ("env", "apt_far", "apt.log", "Get:1 some list\n", "fetching lists of packages"),
        (
            "env",
            "apt_far",
            "apt.log",
            "1 upgraded, 2 newly installed, 0 to remove\nUnpacking a\nUnpacking b\nSetting up a\n",
            "2 of 3 packages unpacked, 1 set up",
        ),
        (
            "base",
            "base_far",
            "debootstrap.log",
            "I: Retrieving a\nI: Retrieving b\nI: Configuring a...\n",
            "2 packages fetched, 1 set up",
        ),
        (
            "base",
            'image_pull_far "$VF_STATE/pull"',
            "pull",
            "a: Pulling fs layer\nb: Pulling fs layer\na: Pull complete\n",
            "1 of 2 layers",
        ),
        (
            "base",
            'image_build_far "$VF_STATE/log"',
            "log",
            "#5 [1/5] FROM x\n#6 [3/5] RUN y\n#6 done\n",
            "step 3 of 5",
        ),
        ("base", 'image_build_far "$VF_STATE/log"', "log", "Step 2/9 : RUN y\n", "step 2 of 9"),
        (
            "dynamodb",
            "dynamodb_far",
            "maven.log",
            "[INFO] Downloading from x\n[INFO] Downloaded from x\n",
            "1 files fetched, 1 put there",
        ),
        ("pulumi", 'pulumi_far ""', "pulumi.log", "go: downloading a\n", "1 modules"),
        ("pulumi", "pulumi_far 9", "pulumi.log", "go: downloading a\nunicode\nfmt\n", "2 of 9 packages"),
        (
            "packages",
            'packages_far "$VF_ROOT/requirements.txt"',
            "python.log",
            "Collecting a\n  Using x\n",
            "1 of about 2 packages",
        ),
    ],
)
def test_how_far_a_part_is(library: str, command: str, log: str, text: str, far: str, clone: Clone) -> None:
    (clone.folder / "state").mkdir()
    (clone.folder / "state" / log).write_text(text)
    put = clone.folder / "cache" / "dynamodb-local.new" / "one.jar"
    put.parent.mkdir(parents=True)
    put.touch()
    told = clone.shell(f'told=$({command}); printf "%s" "$told"', library)
    assert told.stdout == far, told.stderr
