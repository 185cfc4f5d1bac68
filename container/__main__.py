"""`python -m container`: the agent server, set by `VF_` variables (settings.py), until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from container.settings import Settings, SettingsError
from container.web.serve import serve


def main() -> None:
    """Exit code 1 and a sentence when a setting is missing or wrong."""
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        sys.exit(f"vaporforge agent server: {error}")
    text = f"%(asctime)s %(levelname)s %(name)s session {settings.session}: %(message)s"
    logging.basicConfig(level=logging.INFO, format=text)
    asyncio.run(serve(settings))


main()
