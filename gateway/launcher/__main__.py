"""Runs the launcher: `python -m gateway.launcher`."""

from __future__ import annotations

import asyncio
import os
import sys

from gateway.config import ConfigError
from gateway.launcher.engine import DockerEngine
from gateway.launcher.serve import serve
from gateway.launcher.settings import read_launcher_settings
from gateway.logs import configure_logging


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        settings = read_launcher_settings(os.environ)
        configure_logging(settings.log_level)
    except ConfigError as error:
        sys.exit(f"launcher: {error}")
    asyncio.run(serve(settings, DockerEngine(settings)))


if __name__ == "__main__":
    main()
