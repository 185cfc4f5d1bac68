"""Rotates one of a stack's own secrets while people work: `scripts/rotate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from infra.cli.arguments import parser, run
from infra.cli.console import say
from infra.cli.errors import CliError
from infra.cli.stack import Deployment
from infra.cli.up import READY_SECONDS, wait_until_ready
from infra.generated import NAMES, Version, read_versions, write_versions

KEY = "secretVersions"

ON_DOCKER = ("launcher", "proxy")
"""Secrets of parts that only the docker target has."""

DESCRIPTION = """Give a stack a new secret in place of one of its own, without a refused request:
  jwt         signs users' tokens
  sandbox     what the tokens of sandboxes are made from
  credential  opens the keys that messages, frames and users' credentials are encrypted with
  launcher    by which the gateways may start sandboxes (docker)
  proxy       by which the gateways know the proxy (docker)

Two updates: after the first all parts accept the new secret, and by the second they use it and accept the old one.
What was made with the old one stays good until --finish, a third update, by which it is accepted no more.
A rotation that was interrupted goes on with the same command."""


def begun(version: Version) -> Iterator[Version]:
    """The versions to deploy one after another; those of a rotation that is under way are not repeated.

    Raises `CliError` where one has to be finished first."""
    current, accepted = version.current, version.accepted
    if 0 < accepted < current:
        raise CliError(
            "it is rotated already, and what was made with the old one is still good: --finish first"
        )
    new = accepted or current + 1
    if not accepted:
        yield Version(current, new)
    yield Version(new, current)


def finished(version: Version) -> Version:
    """The version without the old one. Raises `CliError` where there is none."""
    if not 0 < version.accepted < version.current:
        raise CliError("there is no old one to drop: scripts/rotate NAME comes before --finish")
    return replace(version, accepted=0)


def steps(configured: Mapping[str, Any], name: str, *, finish: bool) -> Iterator[str]:
    """Values of `secretVersions` to deploy one after another. Raises `CliError` naming the secret."""
    if name in ON_DOCKER and configured.get("target") == "aws":
        raise CliError(f"{name}: a stack on AWS has no such secret")
    try:
        versions = read_versions(str(configured.get(KEY) or ""))
    except ValueError as error:
        raise CliError(f"vaporforge:{KEY}: {error}") from None
    try:
        following = [finished(versions[name])] if finish else list(begun(versions[name]))
    except CliError as error:
        raise CliError(f"{name}: {error}") from None
    for version in following:
        yield write_versions({**versions, name: version})


def main() -> None:
    """Deploy them."""
    options = parser("rotate", DESCRIPTION)
    options.add_argument("name", choices=NAMES, metavar="NAME", help=f"which secret: {', '.join(NAMES)}")
    options.add_argument("--finish", action="store_true", help="accept the old one no more")
    chosen = options.parse_args()
    deployment = Deployment.of_machine(chosen.stack)
    if not deployment.exists() or "instance" not in deployment.outputs():
        raise CliError(f"the stack {chosen.stack} is not deployed; scripts/up --stack {chosen.stack} does it")
    for value in steps(deployment.state.configured(chosen.stack), chosen.name, finish=chosen.finish):
        deployment.remember({KEY: value or None}, {})
        say(f"==> deploying the stack {chosen.stack} with {KEY} {value or '(all first ones)'}")
        outputs = deployment.up(running=True)
        wait_until_ready(outputs["url"], outputs["instance"], READY_SECONDS)
    if chosen.finish:
        say(f"==> the old {chosen.name} secret is accepted no more")
        return
    suffix = "" if chosen.stack == "dev" else f" --stack {chosen.stack}"
    say(f"==> the new {chosen.name} secret is in use, and the old one accepted; {_then(chosen.name)}:")
    say(f"    scripts/rotate {chosen.name} --finish{suffix}")


def _then(name: str) -> str:
    return {
        "jwt": "give whoever makes tokens the new one (the output jwtSecret), and when the last token of the old one "
        "has ended",
        "sandbox": "when the last sandbox that was started before has stopped (idleMinutes)",
        "credential": "when every gateway has run for ten minutes",
    }.get(name, "at any time")


if __name__ == "__main__":
    run(main)
