"""The images of a tree that nobody else may read, and of one that everybody may write, are the same."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.gateway.sandboxes.drivers.docker_bench import build
from tests.infra.test_images import copied, names

UMASKS = (0o077, 0o000)

IMAGES = {
    "gateway": (".", "/app", ["python", "-c", "import gateway.app"]),
    "container": ("container", "/opt/vaporforge", ["/opt/venv/bin/python", "-c", "import container.web.app"]),
    "infra/proxy": ("infra/proxy", "/usr/local/bin /etc/proxy", ["cat", "/etc/proxy/haproxy.cfg"]),
    "infra/egress": ("infra/egress", "/usr/local/bin", ["smokescreen", "--version"]),
}
"""By the folder of its Dockerfile: its context, where its files are, and what its user must be able to run."""


def as_cloned(umask: int, folder: Path) -> Path:
    """A copy as `git clone` makes one under that umask."""
    tree = copied(folder / f"{umask:03o}")
    for path in tree.rglob("*"):
        program = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod((0o777 if program else 0o666) & ~umask)
    return tree


@pytest.fixture
def tag() -> Iterator[str]:
    """For what is built here, and taken away."""
    name = f"vaporforge-test-modes-{secrets.token_hex(4)}"
    yield name
    engine = docker.from_env()
    for image in engine.images.list(name):
        for found in image.tags:
            engine.images.remove(found)
    engine.close()


def test_the_umask_of_a_clone_is_no_part_of_the_names(tmp_path: Path) -> None:
    strict, open_ = (names(as_cloned(umask, tmp_path)) for umask in UMASKS)
    assert strict == open_


@pytest.mark.docker
@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", IMAGES)
def test_its_user_can_read_all_of_an_image_and_write_none_of_it(part: str, tag: str, tmp_path: Path) -> None:
    context, folders, command = IMAGES[part]
    engine = docker.from_env()
    listings = []
    for umask in UMASKS:
        tree = as_cloned(umask, tmp_path)
        image = build(f"{tag}:{umask:03o}", str(tree / part / "Dockerfile"), str(tree / context))
        engine.containers.run(image, command[1:], entrypoint=command[:1], remove=True)
        find = f"find {folders} -printf '%m %u:%g %p\\n' | sort"
        listings.append(
            engine.containers.run(image, ["-c", find], entrypoint=["sh"], remove=True).decode().splitlines()
        )
    engine.close()
    assert listings[0] == listings[1]
    assert [line for line in listings[0] if int(line.split()[0], 8) & 0o022] == []
