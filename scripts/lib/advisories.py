"""`scripts/advisories`: which packages of a bill of materials have known vulnerabilities, by OSV's database."""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packageurl import PackageURL

from infra.cli.arguments import parser, run
from infra.cli.console import say
from infra.cli.errors import CliError
from scripts.lib import sbom

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SOURCE = "https://api.osv.dev"
AT_ONCE = 1000
"""Queries in one request: the service's documented limit."""

SECONDS = 60
NOT_ASKED = 3
"""How the command ends when nobody told whether there are any: neither `none` nor `some`."""

DESCRIPTION = """Print the packages of a stack's images, and of the page, that have known vulnerabilities: advisory,
package, version, where; tabs between. Names and versions are sent to the database, and nothing else.

Ends with 0 when there are none, 1 when there are some, 3 when the database could not be asked."""

Package = tuple[PackageURL, str]
"""A package, and what it is part of."""


class NotAskedError(Exception):
    """The database gave no answer that can be read; the message is the reason."""


def main() -> None:
    """Ask and print."""
    chosen = _arguments()
    bill = json.loads(chosen.bill.read_text()) if chosen.bill else _bill_of(chosen.stack)
    packages = list(packages_of(bill))
    if not packages:
        raise CliError("the bill has no packages")
    try:
        found = list(advisories(packages, chosen.source.rstrip("/")))
    except NotAskedError as error:
        say(f"error: {chosen.source} could not be asked: {error}; whether there are advisories is not known")
        sys.exit(NOT_ASKED)
    lines = {
        f"{name}\t{package.name}\t{package.version}\t{within}\n"
        for name, (package, within) in found
        if name not in chosen.ignore
    }
    sys.stdout.writelines(sorted(lines))
    say(f"{len(packages)} packages, {len(lines)} advisories")
    sys.exit(1 if lines else 0)


def packages_of(bill: Mapping[str, Any]) -> Iterator[Package]:
    """Each package of each part of a bill by `scripts/sbom`."""
    for part in bill["components"]:
        for package in part.get("components", ()):
            if "purl" in package:
                yield PackageURL.from_string(package["purl"]), part["name"]


def advisories(packages: Iterable[Package], source: str) -> Iterator[tuple[str, Package]]:
    """`(id of an advisory, package)`. Raises `NotAskedError`."""
    asked = [(query, package) for package in packages if (query := query_of(package[0]))]
    while asked:
        now, asked = asked[:AT_ONCE], asked[AT_ONCE:]
        answer = _ask(f"{source}/v1/querybatch", {"queries": [query for query, _ in now]})
        results = answer.get("results")
        if not isinstance(results, list) or len(results) != len(now):
            raise NotAskedError("its answer has not a result for each package")
        for result, (query, package) in zip(results, now, strict=True):
            for told in result.get("vulns", ()):
                yield told["id"], package
            # The rest of a long list is asked for again.
            if token := result.get("next_page_token"):
                asked.append(({**query, "page_token": token}, package))


def query_of(package: PackageURL) -> dict[str, Any] | None:
    """As the database has it: Debian's advisories are about source packages of a release. None: it knows of no such."""
    if package.type != "deb":
        bare = PackageURL(package.type, package.namespace, package.name, package.version)
        return {"package": {"purl": bare.to_string()}}
    told = dict(package.qualifiers)
    release = str(told.get("distro", "")).removeprefix("debian-")
    if not release.isdigit():
        return None
    name, _, version = str(told.get("upstream", "")).partition("@")
    return {
        "package": {"name": name or package.name, "ecosystem": f"Debian:{release}"},
        "version": version or package.version,
    }


def _ask(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            told = json.load(answer)
    except urllib.error.HTTPError as error:
        raise NotAskedError(f"it answered {error.code}") from None
    except (OSError, ValueError) as error:
        raise NotAskedError(str(error) or type(error).__name__) from None
    if not isinstance(told, dict):
        raise NotAskedError("its answer is no object")
    return told


def _bill_of(stack: str) -> Any:
    return json.loads(sbom.bill(sbom.parts_of(stack)))


def _source(given: str) -> str:
    url = urllib.parse.urlsplit(given)
    if url.scheme not in {"http", "https"} or not url.netloc:
        raise argparse.ArgumentTypeError(f"{given!r} must be an http:// or https:// URL")
    return given


def _arguments() -> argparse.Namespace:
    options = parser("advisories", DESCRIPTION)
    options.add_argument(
        "--bill", type=Path, metavar="FILE", help="a bill that scripts/sbom printed, and no stack"
    )
    options.add_argument(
        "--source", type=_source, default=SOURCE, metavar="URL", help=f"the database ({SOURCE})"
    )
    options.add_argument(
        "--ignore", action="append", default=[], metavar="ID", help="an advisory that was judged; often"
    )
    return options.parse_args()


if __name__ == "__main__":
    run(main)
