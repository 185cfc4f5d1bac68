"""Git's identity in a sandbox: there without a word, and the last to be asked."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from container.agent import identity
from container.agent.identity import write_identity

if TYPE_CHECKING:
    from pathlib import Path

ADA = {"name": "Ada Lovelace", "email": "ada@example.com"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / ".vaporforge" / "gitconfig"


def git(file: Path, *argv: str) -> str:
    """What git says in a new home whose system configuration is `file`."""
    env = {"PATH": os.environ["PATH"], "HOME": str(file.parent.parent), "GIT_CONFIG_SYSTEM": str(file)}
    asked = subprocess.run(
        ["git", *argv], cwd=file.parent, env=env, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()


def test_it_is_there_and_whatever_the_user_sets_wins(file: Path) -> None:
    write_identity(file, ADA)
    assert git(file, "var", "GIT_AUTHOR_IDENT").startswith("Ada Lovelace <ada@example.com>")
    git(file, "config", "--global", "user.name", "Countess")
    assert git(file, "var", "GIT_COMMITTER_IDENT").startswith("Countess <ada@example.com>")
    git(file, "init", "-q", ".")
    git(file, "config", "user.email", "here@example.com")
    assert git(file, "var", "GIT_AUTHOR_IDENT").startswith("Countess <here@example.com>")


def test_the_next_to_ask_takes_the_place_of_the_last(file: Path) -> None:
    write_identity(file, ADA)
    write_identity(file, {"name": "Grace", "email": "grace@example.com"})
    assert git(file, "var", "GIT_AUTHOR_IDENT").startswith("Grace <grace@example.com>")


@pytest.mark.parametrize("name", ['A "quoted" \\ one', "#not a comment; nor this", " Ünïcode 🦊", "[core]"])
def test_any_name_is_kept_as_it_is(file: Path, name: str) -> None:
    write_identity(file, {**ADA, "name": name})
    assert git(file, "config", "user.name") == name.strip()


def test_the_systems_own_configuration_goes_on_counting(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = file.parent.parent.parent / "system"
    system.write_text("[init]\n\tdefaultBranch = trunk\n[user]\n\tname = Nobody\n")
    monkeypatch.setattr(identity, "SYSTEM", str(system))
    write_identity(file, ADA)
    assert git(file, "config", "init.defaultBranch") == "trunk"
    assert git(file, "config", "user.name") == "Ada Lovelace"


def test_a_disk_that_is_full_is_only_told(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.parent.parent.mkdir()
    file.parent.write_text("a file where the folder belongs")
    write_identity(file, ADA)
    assert "git's identity is not kept" in caplog.text
