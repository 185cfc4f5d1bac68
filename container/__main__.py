"""`python -m container`: the agent server, set by `VF_` variables (settings.py), until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from container.settings import Settings, SettingsError
from container.uids import WallError, part
from container.web.serve import serve

log = logging.getLogger("container")


def main() -> None:
    """Exit code 1 and a sentence when a setting is missing or wrong."""
    try:
        user = part(os.environ)
        settings = Settings.from_env(os.environ, user)
    except (SettingsError, WallError) as error:
        sys.exit(f"vaporforge agent server: {error}")
    text = f"%(asctime)s %(levelname)s %(name)s session {settings.session}: %(message)s"
    logging.basicConfig(level=logging.INFO, format=text)
    if not user.is_apart:
        log.warning(
            "the agent runs under the agent server's own uid, %d: no wall stands between them", os.geteuid()
        )
    asyncio.run(serve(settings))


main()
