"""Rotates secrets of a stack's own while people work: `scripts/rotate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

DESCRIPTION = """Give a stack new secrets in place of some of its own, without a refused request:
  jwt         signs users' tokens
  sandbox     what the tokens of sandboxes are made from
  credential  opens the keys that messages, frames and users' credentials are encrypted with
  launcher    by which the gateways may start sandboxes (docker)
  proxy       by which the gateways know the proxy (docker)

Two updates: after the first all parts accept the new secrets, and by the second they use them and accept the old ones.
What was made with the old ones stays good until --finish, another update, by which they are accepted no more.
A rotation that was interrupted, wherever, goes on with the same command."""


def begun(version: Version) -> Iterator[Version]:
    """The versions to deploy one after another. Nobody knows whether the one that is configured was deployed, for an
    update may have been interrupted: it comes first, and changes nothing where it was."""
    current, accepted = version.current, version.accepted
    if version.is_rotated:
        yield version
        return
    new = accepted or current + 1
    yield Version(current, new)
    yield Version(new, current)


def finished(version: Version) -> Iterator[Version]:
    """As `begun`, to the version without the old one. Raises `CliError` where there is none."""
    current, accepted = version.current, version.accepted
    if accepted > current or current == 1:
        raise CliError("there is no old one to drop: scripts/rotate NAME comes before --finish")
    if accepted:
        yield version
    yield replace(version, accepted=0)


def steps(configured: Mapping[str, Any], names: Sequence[str], *, finish: bool) -> list[str]:
    """Values of `secretVersions` to deploy one after another. Raises `CliError` naming the secret."""
    try:
        versions = read_versions(str(configured.get(KEY) or ""))
    except ValueError as error:
        raise CliError(f"vaporforge:{KEY}: {error}") from None
    following: list[dict[str, Version]] = []
    for name in dict.fromkeys(names):
        if name in ON_DOCKER and configured.get("target") == "aws":
            raise CliError(f"{name}: a stack on AWS has no such secret")
        try:
            own = list(finished(versions[name]) if finish else begun(versions[name]))
        except CliError as error:
            raise CliError(f"{name}: {error}") from None
        # Those that have fewer steps to go wait at their end.
        following += [dict(following[-1]) if following else dict(versions) for _ in own[len(following) :]]
        for number, step in enumerate(following):
            step[name] = own[min(number, len(own) - 1)]
    return [write_versions(step) for step in following]


def main() -> None:
    """Deploy them."""
    options = parser("rotate", DESCRIPTION)
    options.add_argument(
        "names", nargs="+", choices=NAMES, metavar="NAME", help=f"which secrets: {', '.join(NAMES)}"
    )
    options.add_argument("--finish", action="store_true", help="accept the old ones no more")
    chosen = options.parse_args()
    names = ", ".join(dict.fromkeys(chosen.names))
    deployment = Deployment.of_machine(chosen.stack)
    if not deployment.exists() or "instance" not in deployment.outputs():
        raise CliError(f"the stack {chosen.stack} is not deployed; scripts/up --stack {chosen.stack} does it")
    configured = deployment.state.configured(chosen.stack)
    following = steps(configured, chosen.names, finish=chosen.finish)
    before = read_versions(str(configured.get(KEY) or ""))
    was_rotated = [name for name in dict.fromkeys(chosen.names) if before[name].is_rotated]
    for value in following:
        deployment.remember({KEY: value or None}, {})
        say(f"==> deploying the stack {chosen.stack} with {KEY} {value or '(all first ones)'}")
        outputs = deployment.up(running=True)
        wait_until_ready(outputs["url"], outputs["instance"], READY_SECONDS)
    if chosen.finish:
        say(f"==> what {names} was before is accepted no more")
        return
    if was_rotated:
        say(f"==> rotated before, and not anew: {', '.join(was_rotated)}. That takes --finish first")
    suffix = "" if chosen.stack == "dev" else f" --stack {chosen.stack}"
    say(f"==> new in use, with the old one accepted: {names}. To go on:")
    for name in dict.fromkeys(chosen.names):
        say(f"    scripts/rotate {name} --finish{suffix}   {_when(name)}")


def _when(name: str) -> str:
    return {
        "jwt": "give whoever makes tokens the new one (the output jwtSecret), and when the last token of the old one "
        "has ended",
        "sandbox": "when the last sandbox that was started before has stopped (idleMinutes)",
        "credential": "when every gateway has run for ten minutes",
    }.get(name, "at any time")


if __name__ == "__main__":
    run(main)
