"""Pulumi's backend in a folder: where it is, and what a killed process leaves there half written."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from infra.config import PROJECT


def backend_of(environ: Mapping[str, str]) -> str:
    """The URL of the backend that `pulumi` uses in this environment; empty for Pulumi's own service."""
    if url := environ.get("PULUMI_BACKEND_URL"):
        return url
    home = Path(environ.get("PULUMI_HOME") or "~/.pulumi").expanduser()
    try:
        return str(json.loads((home / "credentials.json").read_text(encoding="utf-8")).get("current") or "")
    except (OSError, ValueError):
        return ""


def folder_of(backend: str) -> Path | None:
    """The folder of a backend's URL; None for one that is none."""
    url = urllib.parse.urlsplit(backend)
    if url.scheme != "file":
        return None
    # Pulumi takes file://~ and file://./folder too, whose first part reads like a host.
    return Path(urllib.request.url2pathname(url.netloc + url.path)).expanduser()


def repair(backend: str, stack: str) -> int:
    """Take away a stack's files of attributes that were not written to their end; how many there were. Pulumi renames
    a state into its place, and writes what lies beside it where it is to be: it reads no state with a half of it
    ("failed to load checkpoint: EOF"), and every state without."""
    folder = folder_of(backend)
    if folder is None:
        return 0
    kept = folder / ".pulumi"
    beside = [
        *(kept / "stacks" / PROJECT).glob(f"{stack}.json*.attrs"),
        *(kept / "history" / PROJECT / stack).glob("*.attrs"),
    ]
    cut = [path for path in beside if _is_cut(path)]
    for path in cut:
        path.unlink(missing_ok=True)
    return len(cut)


def _is_cut(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except OSError:
        return False
    except ValueError:
        return True
    return False
