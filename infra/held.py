"""Images that others make, held to a digest: `infra/images.lock`, which scripts/lock fills from the registries."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from infra.values import ConfigError

LOCK: Final = Path(__file__).resolve().parent / "images.lock"

UNKNOWN: Final = "-"
LINE: Final = re.compile(r"(?P<name>[a-z0-9][^\s@]*) (?P<digest>-|sha256:[0-9a-f]{64})")


def read_lock(lock: Path = LOCK) -> dict[str, str]:
    """Digest (`sha256:<hex>`, empty where it is not known) by name. Raises `ConfigError` for a line that is none."""
    held = {}
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.fullmatch(line.strip())
        if found is None:
            raise ConfigError(
                f"{lock.name}, line {number}: {line.strip()[:80]!r} must be a name and sha256:<64 digits>, or - for "
                "one that scripts/lock is to ask for"
            )
        held[found["name"]] = "" if found["digest"] == UNKNOWN else found["digest"]
    return held


def held(name: str, lock: Path = LOCK) -> str:
    """`name@digest` where the lock knows the digest; else the name as it is, also where it has a digest of its own."""
    digest = read_lock(lock).get(name, "")
    return f"{name}@{digest}" if digest else name
