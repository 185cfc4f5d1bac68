"""Hashes of build contexts: what names an image, so that it changes when, and only when, what goes into it does."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from docker.utils import exclude_paths

EPOCH = "1767225600"
"""`SOURCE_DATE_EPOCH` of every build, 2026-01-01 UTC: the time of the files that it writes, and, from Docker's engine
23 on, of the image itself. The same in every commit, so that what did not change keeps its id."""


def context_files(context: Path) -> list[str]:
    """Every file and link of a build context that its `.dockerignore` lets in: sorted paths relative to it."""
    ignore = context / ".dockerignore"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    paths = exclude_paths(str(context), patterns)
    return sorted(path for path in paths if (context / path).is_symlink() or (context / path).is_file())


def content_hash(context: Path, dockerfile: Path, build_args: Mapping[str, str]) -> str:
    """64 hexadecimal digits over the context's files (path and content), Dockerfile and arguments.

    Modes on disk are no part of it, for they are none of the image's: each Dockerfile gives its own (`--chmod`)."""
    digest = hashlib.sha256()
    _feed(digest, "dockerfile", dockerfile.read_bytes())
    for name, value in sorted(build_args.items()):
        _feed(digest, f"arg {name}", value.encode())
    for path in context_files(context):
        file = context / path
        if file.is_symlink():
            _feed(digest, f"link {path}", os.fsencode(file.readlink()))
        else:
            _feed(digest, f"file {path}", file.read_bytes())
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, label: str, content: bytes) -> None:
    # Lengths in front: no two different lists of entries give the same stream of bytes.
    for part in (label.encode(), content):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
