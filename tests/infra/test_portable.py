"""Dynamic providers in the state: the same bytes from every clone, and loadable without this project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.config import ROOT

PICKLE = (
    "from pulumi.dynamic.dynamic import serialize_provider\n"
    "from infra import cleanup, generated\n"
    "from infra.components.docker import limits\n"
    "makers = (generated._provider, cleanup._containers, cleanup._volumes, cleanup._tag, "
    "limits.process_limits_provider)\n"
    "print(*[serialize_provider(make()) for make in makers], sep='\\n')\n"
)

LOAD = (
    "import base64, sys, dill\n"
    "for line in sys.stdin:\n"
    "    print(type(dill.loads(base64.b64decode(line))).__name__)\n"
)


def python(code: str, cwd: Path, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def pickled() -> str:
    return python(PICKLE, ROOT)


def test_another_clone_pickles_the_same(pickled: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "infra", tmp_path / "infra", symlinks=True)
    assert python(PICKLE, tmp_path) == pickled


@pytest.mark.parametrize("seed", ["1", "2", "3", "4"])
def test_another_process_pickles_the_same(pickled: str, seed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", seed)
    assert python(PICKLE, ROOT) == pickled


def test_they_load_where_this_project_is_not(pickled: str, tmp_path: Path) -> None:
    kinds = python(LOAD, tmp_path, pickled).split()
    assert kinds == ["SecretsProvider", *["CleanupProvider"] * 3, "ProcessLimitsProvider"]


def test_later_secrets_leave_the_earlier_ones_as_they_are() -> None:
    from infra.generated import _provider

    provider = _provider()
    first = provider.create({"names": ["jwt"]}).outs
    assert first is not None
    after = provider.update("id", first, {"names": ["jwt", "sandbox"]}).outs
    assert after is not None
    assert after["jwt"] == first["jwt"]
    assert len(after["sandbox"]) >= 64
    assert after["sandbox"] != after["jwt"]
