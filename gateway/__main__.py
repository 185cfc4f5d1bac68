"""`python -m gateway`: settings from the environment, then serve until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from container.protocol import VERSION
from gateway import dev
from gateway.config import ConfigError, Settings, read_settings
from gateway.errors import VaporForgeError
from gateway.logs import configure_logging
from gateway.sandboxes.drivers import Driver
from gateway.sandboxes.drivers.process import ProcessDriver
from gateway.serve import serve
from gateway.store.blobs.factory import make_blobs
from gateway.store.dynamo import DynamoStore


def main(arguments: Sequence[str]) -> int:
    """Run the gateway; the exit status (1: a port or the store cannot be had, 2: a setting or argument is bad)."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description="The VaporForge gateway.")
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument(
        "--dev", action="store_true", help="all of VaporForge on this machine, without Docker"
    )
    parser.add_argument("--port", type=int, default=8080, help="port of --dev (default: 8080)")
    parser.add_argument("--agent", choices=dev.AGENTS, default="demo", help="agent of --dev (default: demo)")
    options = parser.parse_args(arguments)
    try:
        if options.dev:
            work = dev.run(os.environ, port=options.port, agent=options.agent)
        else:
            settings = read_settings(os.environ)
            configure_logging(settings.log_level)
            work = serve(
                settings,
                store=DynamoStore(settings),
                driver=make_driver(settings),
                blobs=make_blobs(settings),
                listening=lambda _port: keep_what_stays(),
            )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (VaporForgeError, OSError) as error:
        sys.stderr.write(f"the gateway cannot run: {error}\n")
        return 1
    return 0


def keep_what_stays() -> None:
    """Take all that is there, some 95,000 objects of modules and services that live as long as this process, out of
    what the collector walks: a full collection of them takes 30 to 50 ms, in which no stream moves."""
    gc.collect()
    gc.freeze()


def make_driver(settings: Settings) -> Driver:
    """The driver that the settings name."""
    if settings.driver == "docker":
        from gateway.sandboxes.drivers.docker import DockerDriver

        return DockerDriver(settings)
    if settings.driver == "ecs":
        from gateway.sandboxes.drivers.ecs.driver import EcsDriver

        return EcsDriver(settings)
    return ProcessDriver(settings, Path(settings.process_root))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
