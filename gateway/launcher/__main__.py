"""Runs the launcher: `python -m gateway.launcher`."""

from __future__ import annotations

import os
import sys

from aiohttp import web

from gateway.config import ConfigError
from gateway.launcher.app import build_launcher
from gateway.launcher.engine import DockerEngine
from gateway.launcher.settings import read_launcher_settings
from gateway.logs import configure_logging


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    try:
        settings = read_launcher_settings(os.environ)
        configure_logging(settings.log_level)
    except ConfigError as error:
        sys.exit(f"launcher: {error}")
    app = build_launcher(settings, DockerEngine(settings))
    web.run_app(app, host=settings.host, port=settings.port, print=None, access_log=None, shutdown_timeout=10)


if __name__ == "__main__":
    main()
