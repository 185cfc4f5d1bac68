"""Stops a stack, or forgets it: `scripts/down`."""

from __future__ import annotations

from infra.cli.arguments import parser, run
from infra.cli.console import say
from infra.cli.stack import Deployment

DESCRIPTION = """Delete the containers, networks and images of a stack.

Its messages, its sessions' files and its secrets stay, so that scripts/up goes on where it was.
--volumes deletes them too. A Docker engine that scripts/up had to start by hand is ended, once nothing runs on it."""


def main() -> None:
    """Without `--volumes` it is an update to `running: false`; with it the stack is destroyed."""
    options = parser("down", DESCRIPTION)
    options.add_argument(
        "--volumes", action="store_true", help="forget everything: messages, files, secrets, the stack"
    )
    chosen = options.parse_args()
    # Asked without the docker plugin, for which one that is not there would be asked first.
    if not Deployment.of_machine(chosen.stack, plugin=False).exists():
        say(f"==> there is no stack {chosen.stack}")
        return
    deployment = Deployment.of_machine(chosen.stack)
    if chosen.volumes:
        say(f"==> deleting the stack {chosen.stack} with its data")
        deployment.destroy()
        say("==> gone")
    else:
        say(f"==> stopping the stack {chosen.stack}")
        deployment.up(running=False)
        say("==> stopped; its data is kept (--volumes deletes it)")


if __name__ == "__main__":
    run(main)
