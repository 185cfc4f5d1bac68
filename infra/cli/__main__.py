"""Starts a command by its name: `python -m infra.cli token …`. Where a package is missing it says so in a sentence."""

import importlib
import sys
from pathlib import Path

COMMANDS = ("up", "down", "token", "audit", "parts", "rotate")


def main() -> None:
    """The command's own `main`, with the arguments behind its name. Ends the process with 1 when it cannot start."""
    # What is imported up to here is Python's own: this is what runs in an environment that lacks the rest.
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        sys.exit(f"error: {name or 'nothing'} is no command of infra.cli; there are {', '.join(COMMANDS)}")
    try:
        command = importlib.import_module(f"infra.cli.{name}")
        run = importlib.import_module("infra.cli.arguments").run
    except ImportError as error:
        if error.name is None or error.name.split(".")[0] == "infra":
            raise
        root = Path(__file__).resolve().parent.parent.parent
        sys.exit(
            f"error: the Python environment in {sys.prefix} lacks {error.name}; {root}/scripts/setup infra installs "
            "what the commands need"
        )
    del sys.argv[1]
    run(command.main)


if __name__ == "__main__":
    main()
