"""The cache folder can be carried to another machine, and is named in the docs with all that is in it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.scripts.shell import ROOT, Clone

DOCKER = """
case "$*" in
  "image inspect"*) [ -e "$FAKES/has-$(basename "$3")" ] ;;
  save*) echo "layers of $2" ;;
  load*) gzip -dc "$4" >"$FAKES/loaded" && touch "$FAKES/has-base:made" ;;
  pull*) echo "no route"; exit 1 ;;
esac
"""
"""Stands for the Docker CLI and an engine: has the images `has-NAME`, and takes what it loads for `base:made`."""

MADE = 'BASE_FALLBACK=base:made; base_bootstrap() { touch "$FAKES/has-$1" "$FAKES/made"; }; setup_base'


def test_an_image_that_was_made_is_kept_and_not_made_again_for_another_engine(clone: Clone) -> None:
    clone.fake("docker", DOCKER)
    done = clone.shell(MADE, "base")
    assert done.returncode == 0, done.stderr
    assert (clone.folder / "fakes" / "made").exists()
    (clone.folder / "fakes" / "made").unlink()
    (clone.folder / "fakes" / "has-base:made").unlink()
    (clone.folder / "state" / "base-image").unlink()
    done = clone.shell(MADE, "base")
    assert done.returncode == 0, done.stderr
    assert (clone.folder / "fakes" / "loaded").read_text() == "layers of base:made\n"
    assert not (clone.folder / "fakes" / "made").exists()
    assert (clone.folder / "state" / "base-image").read_text() == "base:made\n"


def test_an_image_that_cannot_be_loaded_is_made(clone: Clone) -> None:
    clone.fake("docker", DOCKER)
    clone.shell(MADE, "base")
    (kept,) = (clone.folder / "cache" / "images").iterdir()
    kept.write_text("half of it")
    for name in ("made", "has-base:made"):
        (clone.folder / "fakes" / name).unlink()
    done = clone.shell(MADE, "base")
    assert done.returncode == 0, done.stderr
    assert (clone.folder / "fakes" / "made").exists()


def test_a_pulumi_that_was_carried_over_is_found_in_its_new_folder(clone: Clone) -> None:
    home = clone.folder / "cache" / "pulumi" / "bin"
    home.mkdir(parents=True)
    for name, script in (("pulumi", "echo v9999.0.0"), ("pulumi-resource-pulumi-python", ":")):
        (home / name).write_text(f"#!/bin/sh\n{script}\n")
        (home / name).chmod(0o755)
    # As the machine that it came from has left it.
    (clone.folder / "cache" / "bin").mkdir()
    (clone.folder / "cache" / "bin" / "pulumi").symlink_to("/elsewhere/pulumi/bin/pulumi")
    done = clone.setup("pulumi")
    assert done.returncode == 0, done.stderr
    link = clone.folder / "cache" / "bin" / "pulumi"
    assert link.readlink() == Path("../pulumi/bin/pulumi")
    assert link.resolve() == home / "pulumi"


def test_the_docs_name_every_folder_of_the_cache() -> None:
    sources = [path for path in (ROOT / "scripts").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    named = {name for path in sources for name in re.findall(r"VF_CACHE\"?/([a-z-]+)", path.read_text())}
    docs = (ROOT / "docs" / "deploy.md").read_text()
    table = docs.split("## A second machine")[1].split("\n## ")[0]
    assert named == set(re.findall(r"^\| `([a-z-]+)/` ", table, re.MULTILINE))
