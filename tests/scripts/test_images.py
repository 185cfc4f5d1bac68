"""Which image the set-up pulls or keeps: the one that infra/images.lock holds."""

from __future__ import annotations

import pytest

from tests.scripts.shell import Clone

DIGEST = f"sha256:{'ab' * 32}"
NEWER = f"sha256:{'cd' * 32}"
BASE = "python:3.11-slim-bookworm"
TABLE = "amazon/dynamodb-local:3.1.0"


def test_the_set_up_pulls_what_is_held(clone: Clone) -> None:
    (clone.folder / "infra/images.lock").write_text(f"{BASE} {DIGEST}\n{TABLE} -\n")
    done = clone.shell(f"image_held {BASE}; image_held {TABLE}; image_held mine:1", "images")
    assert done.stdout.split() == [f"{BASE}@{DIGEST}", TABLE, "mine:1"]


ENGINE = """
case "$*" in
  "image inspect"*) [ "$3" = "$(cat "$FAKES/has")" ] ;;
  pull*) [ -e "$FAKES/registry" ] && echo "$2" >"$FAKES/has" ;;
esac
"""
"""Stands for an engine that has one image, and gets another when a registry answers."""


@pytest.mark.parametrize("was", [BASE, f"{BASE}@{NEWER}"])
def test_an_image_of_another_digest_than_the_lock_s_is_not_kept(clone: Clone, was: str) -> None:
    (clone.folder / "infra/images.lock").write_text(f"{BASE} {DIGEST}\n")
    clone.fake("docker", ENGINE)
    (clone.folder / "fakes/has").write_text(was)
    (clone.folder / "fakes/registry").touch()
    (clone.folder / "state").mkdir()
    (clone.folder / "state/base-image").write_text(was)
    done = clone.shell("setup_base", "base")
    assert done.returncode == 0, done.stderr
    assert (clone.folder / "state/base-image").read_text().strip() == f"{BASE}@{DIGEST}"
    assert clone.asked("docker")[-1] == f"pull {BASE}@{DIGEST}"


def test_an_image_that_was_made_here_is_kept_whatever_the_lock_says(clone: Clone) -> None:
    (clone.folder / "infra/images.lock").write_text(f"{BASE} {DIGEST}\n")
    clone.fake("docker", ENGINE)
    (clone.folder / "fakes/has").write_text("vaporforge-base:bookworm")
    (clone.folder / "state").mkdir()
    (clone.folder / "state/base-image").write_text("vaporforge-base:bookworm")
    assert clone.shell("setup_base", "base").returncode == 0
    assert not [line for line in clone.asked("docker") if line.startswith("pull")]
