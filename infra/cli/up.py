"""Deploys a stack and says where it is: `scripts/up`."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import ssl
import sys
import time
import urllib.parse
from collections.abc import Sequence

from infra.cli.arguments import parser, run
from infra.cli.console import Times, say, told
from infra.cli.dockerplugin import PLUGINS
from infra.cli.errors import CliError
from infra.cli.stack import Deployment
from infra.cli.terminal import visible
from infra.cli.token import HOURS, default_subject, make_token
from infra.config import known_keys, secret_keys
from infra.cost.table import lines

READY_SECONDS = 90.0

ANSWER_BYTES = 4096
"""More than a gateway says."""

DESCRIPTION = """Deploy VaporForge to this machine's Docker engine, or bring what is deployed up to date. With
--set target=aws it goes to AWS.

Options are remembered for the stack: the next scripts/up keeps them."""


def arguments() -> argparse.ArgumentParser:
    """The command's options."""
    options = parser("up", DESCRIPTION)
    options.add_argument("--agent", metavar="AGENT", help="demo, claude, or an agent's command line (demo)")
    options.add_argument("--port", metavar="PORT", help="where it is published (8080)")
    options.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any key of Pulumi.yaml; an empty value forgets it",
    )
    options.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="KEY",
        help="a secret key, such as modelApiKey; read from stdin, and asked for at a terminal. Only a terminal can "
        "give more than one",
    )
    options.add_argument(
        "--docker-plugin",
        choices=PLUGINS,
        default="",
        help="move the stack to this one of Pulumi's docker plugin and our stand-in for it; else it keeps what it has",
    )
    options.add_argument(
        "--preview",
        action="store_true",
        help="only show what would change with these options and what it costs, and remember none of them",
    )
    return options


def values_of(chosen: argparse.Namespace) -> dict[str, str | None]:
    """The plain configuration among the options; None forgets a key. Raises `CliError` for what is none."""
    values = _values(chosen.set)
    return values | {key: value for key in ("agent", "port") if (value := getattr(chosen, key)) is not None}


def main() -> None:
    """Deploy, wait until it is ready, print the URL with a token."""
    chosen = arguments().parse_args()
    values = values_of(chosen)
    if chosen.preview:
        preview(chosen, values)
        return
    secrets = read_secrets(chosen.secret)
    times = Times(os.environ)
    deployment = Deployment.of_machine(chosen.stack, asked=chosen.docker_plugin)
    deployment.create()
    deployment.remember(values, secrets)
    times.note("preparing")
    say(f"==> deploying the stack {chosen.stack}")
    begun = time.monotonic()
    outputs = deployment.up(running=True)
    say(f"==> up to date ({time.monotonic() - begun:.0f} s)")
    times.note("deploying")
    with told(f"waiting until {outputs['url']} is ready, {READY_SECONDS:.0f} s at most"):
        wait_until_ready(outputs["url"], outputs["instance"], READY_SECONDS)
    times.note("until ready")
    token = make_token(outputs, default_subject(), HOURS)
    say(f"==> VaporForge {outputs['version']} is ready. Open (the token in it is good for {HOURS:g} hours):")
    sys.stdout.write(f"{outputs['url']}/#token={token}\n")
    sys.stdout.flush()
    if str(times):
        say(f"==> took: {times}")
    suffix = "" if chosen.stack == "dev" else f" --stack {chosen.stack}"
    shows = f"scripts/logs{suffix} shows"
    if outputs["target"] == "aws":
        shows = f"CloudWatch's log groups {outputs['stackId']}-... show"
    say(f"==> {shows} what happens; scripts/down{suffix} stops it")


def preview(chosen: argparse.Namespace, values: dict[str, str | None]) -> None:
    """Show what would be done, and do nothing. Raises `CliError` for secrets: they would have to be kept somewhere."""
    if chosen.secret:
        raise CliError(
            f"--preview --secret {chosen.secret[0]}: a preview remembers nothing; leave the secret out"
        )
    deployment = Deployment.of_machine(chosen.stack, asked=chosen.docker_plugin)
    say(f"==> what scripts/up would do to the stack {chosen.stack}")
    planned = deployment.preview(values)
    for line in lines(planned.outputs):
        sys.stdout.write(f"{visible(line)}\n")
    sys.stdout.flush()
    count = planned.changes
    say(f"==> changes: {count}; nothing was done" if count else "==> nothing would change")


def wait_until_ready(url: str, instance: str, seconds: float) -> None:
    """Poll `/api/ready` until a gateway of the deployment `instance` answers 200. Raises `CliError` with the last
    answer when the time is over, also where another program answers: it must not be given a token."""
    address = urllib.parse.urlsplit(url)
    deadline, pause, last, is_another = time.monotonic() + seconds, 0.05, "no answer", False
    while time.monotonic() < deadline:
        connection = _connection(address)
        try:
            connection.request("GET", "/api/ready", headers={"Host": address.netloc})
            answer = connection.getresponse()
            said = answer.read(ANSWER_BYTES).decode(errors="replace").strip()
            last = f"{answer.status} {said[:300]}"
            is_another = answer.status == http.client.OK and _instance(said) != instance
            if answer.status == http.client.OK and not is_another:
                return
        except OSError as error:
            last = str(error)
        except http.client.HTTPException as error:
            last = repr(error)
        finally:
            connection.close()
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)
    if is_another:
        raise CliError(
            f"at {url} another program answers, not this deployment: {last}; end that, or choose another port "
            "(scripts/up --port PORT)"
        )
    raise CliError(f"{url}/api/ready was not ready in {seconds:.0f} s, last: {last} (scripts/logs says more)")


def _instance(answer: str) -> str:
    """Which deployment a gateway's answer says that it is of; empty for what is no such answer."""
    try:
        told = json.loads(answer)
    except ValueError:
        return ""
    return str(told.get("instance", "")) if isinstance(told, dict) else ""


def _connection(address: urllib.parse.SplitResult) -> http.client.HTTPConnection:
    host = address.hostname or "localhost"
    if address.scheme == "http":
        return http.client.HTTPConnection(host, address.port, timeout=5)
    # The certificate is for the name that users know, and this is this machine asking itself.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, address.port, timeout=5, context=context)


def _values(given: list[str]) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or key not in known_keys():
            raise CliError(f"--set {item}: it must be KEY=VALUE with a key of Pulumi.yaml")
        if key in secret_keys() and value:
            raise CliError(f"--set {key}=…: it is a secret; use --secret {key} and give it on stdin")
        if key == "running":
            raise CliError(f"--set {item}: scripts/up always runs the stack; scripts/down stops it")
        values[key] = value or None
    return values


def read_secrets(keys: Sequence[str]) -> dict[str, str]:
    """Their values, from stdin. Raises `CliError` for a key that is none, and for a value that is empty."""
    for key in keys:
        if key not in secret_keys():
            raise CliError(f"--secret {key}: it must be one of {', '.join(sorted(secret_keys()))}")
    if len(keys) > 1 and not sys.stdin.isatty():
        raise CliError(
            f"--secret is given {len(keys)} times, and stdin is no terminal and holds one value: "
            "run scripts/up once for each"
        )
    values = {key: _read_secret(key) for key in keys}
    for key, value in values.items():
        if not value:
            raise CliError(f"--secret {key}: nothing was given on stdin (scripts/up --set {key}= forgets it)")
    return values


def _read_secret(key: str) -> str:
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass(f"{key}: ").strip()
    return sys.stdin.read().strip()


if __name__ == "__main__":
    run(main)
