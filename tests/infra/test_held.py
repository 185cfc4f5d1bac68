"""Other people's images are held to digests: the lock, who honours it, and how `scripts/lock` fills it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra import config
from infra.config import ROOT, Settings, default_settings, read_settings
from infra.held import LOCK, held, read_lock
from infra.values import ConfigError
from scripts.lib.image_lock import fill
from tests.infra.mocked import run

DIGEST = f"sha256:{'ab' * 32}"
NEWER = f"sha256:{'cd' * 32}"
BASE = "python:3.11-slim-bookworm"
TABLE = "amazon/dynamodb-local:3.1.0"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "images.lock"
    path.write_text(f"# A word about it.\n{TABLE} -\n{BASE} {DIGEST}\n")
    return path


def test_the_lock_names_what_a_stack_takes_when_it_is_told_nothing() -> None:
    settings = default_settings("docker")
    assert set(read_lock()) == {settings.base_image, settings.dynamodb_image} == {BASE, TABLE}


def test_no_dockerfile_builds_on_an_image_by_itself() -> None:
    """What is built on is told by whoever builds, who knows the lock."""
    files = [ROOT / part / "Dockerfile" for part in ("gateway", "container", "infra/proxy", "infra/egress")]
    files += [ROOT / "scripts/lib/dynamodb-image/Dockerfile", ROOT / "tests/aws/cloud/Dockerfile"]
    for file in files:
        text = file.read_text()
        stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE))
        bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))
        assert bases - stages - {"scratch"} == {"${BASE}"}, file
        assert re.search(r"^ARG BASE$", text, re.MULTILINE), file


def test_a_name_gets_its_digest_and_others_stay(lock: Path) -> None:
    assert held(BASE, lock) == f"{BASE}@{DIGEST}"
    assert held(TABLE, lock) == TABLE
    assert held(f"{BASE}@{NEWER}", lock) == f"{BASE}@{NEWER}"
    assert held("registry.example/base:1", lock) == "registry.example/base:1"


@pytest.mark.parametrize("line", [BASE, f"{BASE} {DIGEST[:-1]}", f"{BASE} latest", f"{BASE}@{DIGEST} -"])
def test_a_line_that_is_none_is_refused(lock: Path, line: str) -> None:
    with lock.open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(ConfigError, match=r"images\.lock, line 5"):
        read_lock(lock)


def test_a_stack_s_settings_are_held(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "held", lambda name: held(name, lock))
    found: list[Settings] = []
    run(lambda: found.append(read_settings()), {})
    run(lambda: found.append(read_settings()), {"baseImage": "mine:1"})
    assert [(settings.base_image, settings.dynamodb_image) for settings in found] == [
        (f"{BASE}@{DIGEST}", TABLE),
        ("mine:1", TABLE),
    ]


def none(name: str) -> str:
    raise LookupError(f"its registry did not tell of {name}")


def test_only_what_is_not_known_is_asked_for(lock: Path) -> None:
    asked: list[str] = []

    def ask(name: str) -> str:
        asked.append(name)
        return NEWER

    assert fill(lock, ask, upgrade=False) == 0
    assert asked == [TABLE]
    assert lock.read_text() == f"# A word about it.\n{TABLE} {NEWER}\n{BASE} {DIGEST}\n"


def test_an_upgrade_asks_for_all(lock: Path) -> None:
    assert fill(lock, lambda _: NEWER, upgrade=True) == 0
    assert read_lock(lock) == {TABLE: NEWER, BASE: NEWER}


def test_what_no_registry_tells_stays_and_is_said(lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = lock.read_text()
    assert fill(lock, none, upgrade=True) == 1
    assert lock.read_text() == before
    said = capsys.readouterr().err
    assert f"{TABLE} is held to no digest, and a build takes what its tag names" in said
    assert f"{BASE} stays at {DIGEST}: its registry did not tell of {BASE}" in said


def test_it_is_the_lock_of_the_repository() -> None:
    assert LOCK == ROOT / "infra/images.lock"
