"""A real engine asks a real registry for a digest, and what is built on it stays that, whatever the tag becomes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import docker
import pytest

from infra.config import ROOT
from infra.held import held, read_lock
from tests.infra.plugin_client import started
from tests.infra.registry import Registry, registry

IMAGE = "docker:index/image:Image"

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.timeout(300)]


def asked(lock: Path, *more: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "scripts.lib.image_lock", "--lock", str(lock), *more]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)


def test_a_build_stays_on_the_image_that_the_lock_holds(tmp_path: Path) -> None:
    with registry() as served:
        name, lock = f"{served.at}/base:1", tmp_path / "images.lock"
        lock.write_text(f"{name} -\n")
        first = served.put("base", "1", {"file": b"first"})
        done = asked(lock)
        assert (done.returncode, read_lock(lock)) == (0, {name: first}), done.stderr
        second = served.put("base", "1", {"file": b"second"})
        assert asked(lock).returncode == 0
        assert read_lock(lock) == {name: first}
        assert built_on(held(name, lock), served, tmp_path) == b"first"
        assert asked(lock, "--upgrade").returncode == 0
        assert read_lock(lock) == {name: second}
        assert built_on(held(name, lock), served, tmp_path) == b"second"
    gone = asked(lock, "--upgrade")
    assert gone.returncode == 1
    assert f"{name} stays at {second}: its registry did not tell" in gone.stderr


def built_on(base: str, served: Registry, folder: Path) -> bytes:
    """What an image that the stack's plugin builds on `base` has in its file."""
    context = folder / "context"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nCMD none\n")
    tag = f"vaporforge-plugin-test/held:{served.server_port}"
    build = {"context": str(context), "dockerfile": str(context / "Dockerfile"), "args": {"BASE": base}}
    engine = docker.from_env()
    with started(folder) as plugin:
        inputs = plugin.checked(IMAGE, {"imageName": tag, "build": build, "skipPush": True})
        _, state = plugin.create(IMAGE, inputs)
    try:
        container = engine.containers.create(state["repoDigest"])
        try:
            stream, _ = container.get_archive("/file")
            # A tar of one small file: its content is what follows the first header.
            return b"".join(stream)[512:].split(b"\0")[0]
        finally:
            container.remove()
    finally:
        engine.images.remove(tag, force=True)
        engine.close()
