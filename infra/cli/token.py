"""Tokens that let a user in: `scripts/token`."""

from __future__ import annotations

import getpass
import sys
import time
from typing import Any

import jwt

from infra.cli.arguments import parser, run
from infra.cli.errors import CliError
from infra.cli.stack import Deployment

HOURS = 24.0
"""How long a token is good when nothing else is said."""


def make_token(outputs: dict[str, Any], subject: str, hours: float) -> str:
    """A JWT (HS256) for the user `subject`, signed with the stack's secret."""
    now = int(time.time())
    claims = {"sub": subject, "aud": outputs["jwtAudience"], "iat": now, "exp": now + int(hours * 3600)}
    return jwt.encode(claims, outputs["jwtSecret"], algorithm="HS256")


def default_subject() -> str:
    """Who runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "me"


def main() -> None:
    """Print a token."""
    options = parser(
        "token", "Print a token for a user of the deployed stack, for the page or for an API client."
    )
    options.add_argument("--sub", default=default_subject(), metavar="USER", help="whose token (you)")
    options.add_argument(
        "--hours", type=float, default=HOURS, metavar="N", help=f"how long it is good ({HOURS:g})"
    )
    chosen = options.parse_args()
    if not 0 < chosen.hours <= 24 * 366:
        raise CliError(f"--hours is {chosen.hours:g}; it must be more than 0 and at most a year")
    deployment = Deployment.of_machine(chosen.stack, plugin=False)
    outputs = deployment.outputs() if deployment.exists() else {}
    if "jwtSecret" not in outputs:
        raise CliError(f"the stack {chosen.stack} is not deployed; scripts/up --stack {chosen.stack} does it")
    sys.stdout.write(make_token(outputs, chosen.sub, chosen.hours) + "\n")


if __name__ == "__main__":
    run(main)
