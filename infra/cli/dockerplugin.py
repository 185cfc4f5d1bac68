"""Which docker plugin the Pulumi engine gets: the official one, or where that cannot be had our stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from infra.cli.console import say

VERSION: Final = metadata.version("pulumi-docker")

INSTALL_SECONDS: Final = 180

REMEMBERED_SECONDS: Final = 24 * 3600
"""For so long a failed download is not tried again."""

STAND_IN: Final = Path(__file__).resolve().parent.parent / "plugin"


def plugin_environment(environ: Mapping[str, str], state: Path) -> dict[str, str]:
    """What must be added to the environment of `pulumi`; installs the official plugin where it is reachable."""
    if _has_official(environ):
        return {}
    marker = state / "docker-plugin-unreachable"
    fresh = marker.is_file() and time.time() - marker.stat().st_mtime < REMEMBERED_SECONDS
    if not fresh or marker.read_text(encoding="utf-8") != VERSION:
        if _install(environ):
            marker.unlink(missing_ok=True)
            return {}
        marker.write_text(VERSION, encoding="utf-8")
    say(
        f"==> the official docker plugin {VERSION} cannot be downloaded: the stand-in in infra/plugin does its work"
    )
    return {
        "PATH": f"{STAND_IN}{os.pathsep}{environ.get('PATH', os.defpath)}",
        "VF_PYTHON": sys.executable,
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }


def _has_official(environ: Mapping[str, str]) -> bool:
    home = Path(environ.get("PULUMI_HOME") or "~/.pulumi").expanduser()
    return (home / "plugins" / f"resource-docker-v{VERSION}").is_dir()


def _install(environ: Mapping[str, str]) -> bool:
    command = ["pulumi", "plugin", "install", "resource", "docker", VERSION]
    try:
        done = subprocess.run(
            command, env=dict(environ), capture_output=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
