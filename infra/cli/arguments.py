"""The options that the commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from infra.cli.console import say
from infra.cli.errors import CliError


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """With `--stack`; `command`: what the user typed."""
    made = argparse.ArgumentParser(
        prog=f"scripts/{command}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # The scripts around the commands look for --help as it is written.
        allow_abbrev=False,
    )
    made.add_argument("--stack", default="dev", metavar="NAME", help="which stack (dev)")
    return made


def run(main: Callable[[], None]) -> None:
    """Ends the process with 1 and a sentence when the command fails, with 130 when its user gave up."""
    try:
        main()
    except CliError as error:
        say(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
