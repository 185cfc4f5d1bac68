"""The part of `scripts/lock` that holds other people's images to digests: asks their registries, by the engine."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import requests

from infra.held import LOCK, UNKNOWN, read_lock

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 30
"""The engine's own limit for an answer of a registry is longer than anybody waits for a lock."""


def main() -> int:
    """0: every image is held; 1: some are not, and each is told."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--upgrade", action="store_true", help="also those that are held already")
    options.add_argument("--lock", type=Path, default=LOCK, help="another file than infra/images.lock")
    chosen = options.parse_args()
    return fill(chosen.lock, digest_of, upgrade=chosen.upgrade)


def fill(lock: Path, ask: Callable[[str], str], *, upgrade: bool) -> int:
    """Rewrites the lines of `lock` whose digest is not known, with `upgrade` all; lines that nobody told of stay.
    `ask`: a name's digest; raises `LookupError` with the reason."""
    text, status = lock.read_text(encoding="utf-8"), 0
    for name, before in read_lock(lock).items():
        if before and not upgrade:
            continue
        try:
            digest = ask(name)
        except LookupError as error:
            status = 1
            state = (
                f"stays at {before}"
                if before
                else "is held to no digest, and a build takes what its tag names"
            )
            _say(f"{name} {state}: {error.args[0]}")
            continue
        _say(f"{name} {digest}" if digest != before else f"{name} is what it was")
        line = re.compile(rf"^{re.escape(name)} (?:{re.escape(before or UNKNOWN)})$", re.MULTILINE)
        text = line.sub(f"{name} {digest}", text)
    lock.write_text(text, encoding="utf-8")
    return status


def digest_of(name: str) -> str:
    """The registry's digest of a name, asked for by the engine, whose credentials, mirrors and certificates it takes.
    Raises `LookupError`."""
    try:
        engine = docker.from_env(timeout=SECONDS)
        try:
            digest = str(engine.images.get_registry_data(name).id)
        finally:
            engine.close()
    except docker.errors.APIError as error:
        raise LookupError(
            f"its registry did not tell ({str(error.explanation or error).strip()[:200]})"
        ) from None
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise LookupError(f"no Docker engine answered in time ({str(error)[:200]})") from None
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise LookupError(f"its registry told no digest ({digest[:80]!r})")
    return digest


def _say(text: str) -> None:
    sys.stderr.write(f"==> images.lock: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
