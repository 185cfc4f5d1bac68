"""`scripts/sbom`: the bill of materials of a stack's images, and of the page's libraries, as CycloneDX 1.6."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from infra.cli.arguments import parser, run
from infra.cli.errors import CliError
from infra.version import read_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).resolve().parent.parent.parent
INVENTORY = ROOT / "scripts/lib/inventory.py"
VERSION = read_version(ROOT)
PAGE_LOCK = ROOT / "gateway/package-lock.json"
TIMEOUT_SECONDS = 120

DESCRIPTION = """Print what the images of a stack are made of, and which libraries the page loads (CycloneDX 1.6).

Debian's and Python's packages and Go's modules are asked for in the images themselves, which must be on this machine's
Docker engine."""


def main() -> None:
    """Print the bill, or with `--licences` the table."""
    options = parser("sbom", DESCRIPTION)
    options.add_argument(
        "--licences", action="store_true", help="a table: licence, package, version, where; by tabs"
    )
    chosen = options.parse_args()
    parts = parts_of(chosen.stack)
    sys.stdout.write(licence_table(parts) if chosen.licences else bill(parts))


def parts_of(stack: str) -> list[Component]:
    """Each image of the stack, and the page. Raises `CliError`."""
    images = [image_part(name, image) for name, image in stack_images(stack)]
    return [*images, page_part(json.loads(PAGE_LOCK.read_text()))]


def stack_images(stack: str) -> list[tuple[str, str]]:
    """`(name, id)` of each image that the stack has built. Raises `CliError` when there is none."""
    listed = _docker(
        "image",
        "ls",
        "--no-trunc",
        "--filter",
        f"reference=vaporforge-{stack}/*",
        "--format",
        "{{.Repository}}:{{.Tag}}\t{{.ID}}",
    )
    images = [(name, image) for name, _, image in (line.partition("\t") for line in listed.splitlines())]
    if not images:
        raise CliError(
            f"the stack {stack} has no images on this engine; scripts/up --stack {stack} builds them"
        )
    return sorted(images)


def image_part(name: str, image: str) -> Component:
    """The image and, within, all that its own Python finds in it; it is started without a network."""
    found = json.loads(
        _docker(
            "run",
            "--rm",
            "--interactive",
            "--network",
            "none",
            "--read-only",
            "--entrypoint",
            "sh",
            image,
            "-c",
            "PATH=/opt/venv/bin:$PATH; exec python3 -",
            standard_input=INVENTORY.read_text(),
        )
    )
    return part(name, image, found)


def part(name: str, image: str, found: dict[str, list[dict[str, str]]]) -> Component:
    """What `scripts/lib/inventory.py` printed, as a component of type container. `image`: `sha256:<hex>`."""
    packages = [
        *(_package("deb", "debian", item, _debian_qualifiers(item)) for item in found["debian"]),
        *(_package("pypi", None, item, None) for item in found["python"]),
        *(_go_module(item) for item in found["go"]),
    ]
    repository, _, tag = name.partition(":")
    return Component(
        type=ComponentType.CONTAINER,
        name=repository,
        version=tag,
        bom_ref=name,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=image.removeprefix("sha256:"))],
        components=[_within(name, package) for package in packages],
    )


def page_part(lock: dict[str, Any]) -> Component:
    """The libraries that the page loads, by npm's lock; what the lock calls optional is not in it."""
    packages = [
        _package("npm", None, {"name": path.removeprefix("node_modules/"), "licence": "", **item}, None)
        for path, item in lock["packages"].items()
        if path and not item.get("optional") and not item.get("dev")
    ]
    return Component(
        type=ComponentType.APPLICATION,
        name="vaporforge-page",
        version=VERSION,
        bom_ref="vaporforge-page",
        components=[_within("vaporforge-page", package) for package in packages],
    )


def bill(parts: Iterable[Component]) -> str:
    """The document, as JSON."""
    components = list(parts)
    whole = Component(
        type=ComponentType.APPLICATION, name="vaporforge", version=VERSION, bom_ref="vaporforge"
    )
    document = Bom(components=components)
    document.metadata.component = whole
    document.register_dependency(whole, components)
    return make_outputter(document, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2) + "\n"


def licence_table(parts: Iterable[Component]) -> str:
    """A line for each package: licence, name, version, image; tabs between, by licence. `?`: it tells none."""
    rows = sorted(
        {
            (_licence_of(package), package.name, package.version or "", within.name)
            for within in parts
            for package in within.components
        }
    )
    return "".join("\t".join(row) + "\n" for row in rows)


def _debian_qualifiers(item: dict[str, str]) -> dict[str, str]:
    """Debian's advisories are about the source package of a release."""
    told = {"arch": item["arch"], "distro": item["distro"], "upstream": item["source"]}
    return {key: value for key, value in told.items() if value}


def _go_module(item: dict[str, str]) -> Component:
    """Its path's first parts are the namespace of its package URL."""
    namespace, _, name = item["name"].rpartition("/")
    module = _package("golang", namespace or None, {**item, "name": name}, None)
    module.name = item["name"]
    return module


def _package(
    kind: str, namespace: str | None, item: dict[str, Any], qualifiers: dict[str, str] | None
) -> Component:
    licence = item["licence"] or item.get("license", "")
    scope, _, name = item["name"].rpartition("/") if kind == "npm" else (namespace, "", item["name"])
    return Component(
        type=ComponentType.LIBRARY,
        name=item["name"],
        version=item["version"],
        purl=PackageURL(kind, scope or None, name, item["version"], qualifiers),
        licenses=[LicenseFactory().make_from_string(licence)] if licence else None,
    )


def _within(owner: str, package: Component) -> Component:
    """References are unique in the document, though two images have the same package."""
    package.bom_ref.value = f"{owner}|{package.purl}"
    return package


def _licence_of(package: Component) -> str:
    told = [
        found.value if isinstance(found, LicenseExpression) else found.id or found.name
        for found in package.licenses
    ]
    return " AND ".join(name for name in told if name) or "?"


def _docker(*arguments: str, standard_input: str | None = None) -> str:
    try:
        done = subprocess.run(
            ["docker", *arguments],
            input=standard_input,
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
    except FileNotFoundError:
        raise CliError("there is no docker client; scripts/setup docker gets one") from None
    except subprocess.TimeoutExpired:
        raise CliError(f"docker {arguments[0]} did not end in {TIMEOUT_SECONDS} s") from None
    if done.returncode:
        raise CliError(f"docker {arguments[0]} failed: {_last(done.stderr)}")
    return done.stdout


def _last(text: str) -> str:
    lines: Sequence[str] = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"


if __name__ == "__main__":
    run(main)
