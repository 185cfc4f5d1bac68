"""How a plugin of ours ends when the engine that started it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.infra.plugin_client import FOLDER

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("program", ["pulumi-resource-docker", "stack/pulumi-resource-vaporforge-stack"])
def test_a_plugin_ends_with_the_engine_that_started_it(program: str) -> None:
    # The shell is the engine. What it started holds the pipe open for as long as it lives.
    with subprocess.Popen(
        ["bash", "-c", f'"{FOLDER / program}" & wait'],
        env={**os.environ, "VF_PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as engine:
        assert engine.stdout is not None
        assert int(engine.stdout.readline()) > 0
        try:
            engine.kill()
            assert engine.stdout.read() == ""
        finally:
            if _has_group(engine.pid):
                os.killpg(engine.pid, signal.SIGKILL)


def _has_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
