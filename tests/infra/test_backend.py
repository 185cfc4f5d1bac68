"""Pulumi's backend in a folder: where it is, and what a killed process leaves in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.cli.recovery.backend import backend_of, repair


def test_the_backend_is_the_environments_or_the_logins(tmp_path: Path) -> None:
    assert backend_of({"PULUMI_BACKEND_URL": "file:///a", "PULUMI_HOME": str(tmp_path)}) == "file:///a"
    assert backend_of({"PULUMI_HOME": str(tmp_path)}) == ""
    (tmp_path / "credentials.json").write_text('{"current": "file://~"}', encoding="utf-8")
    assert backend_of({"PULUMI_HOME": str(tmp_path)}) == "file://~"


def test_only_what_is_half_written_beside_this_stacks_state_is_taken_away(tmp_path: Path) -> None:
    stacks = tmp_path / ".pulumi" / "stacks" / "vaporforge"
    history = tmp_path / ".pulumi" / "history" / "vaporforge" / "dev"
    for folder in (stacks, history):
        folder.mkdir(parents=True)
    cut = [stacks / "dev.json.attrs", stacks / "dev.json.bak.attrs", history / "dev-1.history.json.attrs"]
    kept = [stacks / "dev.json", stacks / "develop.json.attrs", history / "dev-1.history.json"]
    for path in cut:
        path.write_text('{"user.cache', encoding="utf-8")
    for path in kept:
        path.write_bytes(b"")
    whole = history / "dev-2.history.json.attrs"
    whole.write_text("{}", encoding="utf-8")
    assert repair(tmp_path.as_uri(), "dev") == 3
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted([*kept, whole])
    assert repair(tmp_path.as_uri(), "dev") == 0


@pytest.mark.parametrize("backend", ["", "https://api.pulumi.com", "s3://bucket"])
def test_a_backend_that_is_no_folder_has_nothing_to_repair(backend: str) -> None:
    assert repair(backend, "dev") == 0
