"""The Docker engine and its client: what a fresh machine has of them, and what it is told."""

from __future__ import annotations

import pytest

from tests.scripts.shell import Clone

CLIENT = """
case "$*" in
  --version) echo "Docker version 26.1.3, build 0" ;;
  version*) [ -e "$FAKES/runs" ] ;;
  "buildx version") [ -e "$FAKES/buildx" ] ;;
esac
"""
"""Stands for a client of today, which builds where it has buildx and an engine that runs."""

PACKAGES = """
case "$*" in
  *" install "*docker.io*) cp "$FAKES/of-package" "$FAKES/docker"; touch "$FAKES/runs" ;;
  *" install "*docker-buildx) touch "$FAKES/buildx" ;;
esac
"""


def fresh(clone: Clone) -> Clone:
    """A machine without Docker, whose package of the engine has the client and not what that builds with (Ubuntu)."""
    clone.environ["DOCKER_HOST"] = f"unix://{clone.folder}/docker.sock"
    clone.fake("of-package", CLIENT)
    clone.fake("apt-get", PACKAGES)
    clone.fake("apt-cache", "")
    clone.fake("id", "echo 0")
    clone.fake("python3", '[ -e "$FAKES/runs" ] && echo 1.45')
    clone.fake("setsid", "")
    return clone


def test_an_engine_s_package_with_a_client_that_cannot_build_gets_what_it_lacks(clone: Clone) -> None:
    done = fresh(clone).setup("docker")
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in clone.asked("apt-get") if " install " in line] == [
        "ca-certificates",
        "docker-buildx",
    ]
    assert "lacks buildx" not in done.stderr


@pytest.mark.parametrize("known", ["", "docker-buildx", "docker-cli docker-buildx"])
def test_a_client_in_packages_of_its_own_is_installed_where_apt_knows_them(known: str, clone: Clone) -> None:
    clone.fake("apt-cache", f'case " {known} " in *" $2 "*) ;; *) exit 100 ;; esac')
    clone.fake("apt-get", "")
    clone.fake("id", "echo 0")
    done = clone.shell("docker_install_client", "docker")
    assert done.returncode == 0, done.stderr
    asked = [line.split()[-1] for line in clone.asked("apt-get") if " install " in line]
    assert asked == known.split()


def test_a_client_that_was_there_and_cannot_build_is_told_of(clone: Clone) -> None:
    """Nothing is installed for it: Pulumi's own plugin builds without it."""
    fresh(clone).fake("docker", CLIENT)
    (clone.folder / "fakes" / "runs").touch()
    done = clone.setup("docker")
    assert done.returncode == 0, done.stderr
    assert "docker client: it lacks buildx" in done.stderr
    assert not clone.asked("apt-get")


def test_who_installs_the_engine_and_may_not_ask_it_is_told_so_at_once(clone: Clone) -> None:
    clone.fake("python3", "exit 1")
    clone.fake("id", "echo 0")
    clone.fake("systemctl", "")
    done = clone.shell("docker_service() { true; }; docker_barred() { true; }; docker_start", "docker")
    assert done.returncode == 1
    assert "error: you may not use the Docker engine's socket" in done.stderr
    assert "did not become ready" not in done.stderr
