"""`scripts/sbom`: what it finds, and that the bill is one by CycloneDX's own schema."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infra.cli.errors import CliError
from scripts.lib import sbom
from scripts.lib.inventory import debian_licence

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = f"sha256:{'ab' * 32}"
FOUND = {
    "debian": [
        {"name": "tini", "version": "0.19.0-1", "arch": "amd64", "licence": "Expat"},
        {"name": "libc6", "version": "2.36-9+deb12u10", "arch": "amd64", "licence": ""},
    ],
    "python": [{"name": "aiohttp", "version": "3.14.5", "licence": "Apache-2.0 AND MIT"}],
}


def parts() -> list[Any]:
    lock = json.loads(sbom.PAGE_LOCK.read_text())
    images = [sbom.part(f"vaporforge-dev/{name}:0123", IMAGE, FOUND) for name in ("gateway", "agent")]
    return [*images, sbom.page_part(lock)]


def test_the_bill_is_valid_and_names_every_package_of_every_image() -> None:
    document = sbom.bill(parts())
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    components = {component["name"]: component for component in json.loads(document)["components"]}
    assert set(components) == {"vaporforge-dev/gateway", "vaporforge-dev/agent", "vaporforge-page"}
    gateway = components["vaporforge-dev/gateway"]
    assert gateway["type"] == "container"
    assert gateway["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert {package["purl"] for package in gateway["components"]} == {
        "pkg:deb/debian/tini@0.19.0-1?arch=amd64",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64",
        "pkg:pypi/aiohttp@3.14.5",
    }


def test_the_page_s_libraries_are_those_that_it_loads() -> None:
    page = json.loads(sbom.bill(parts()))["components"]
    libraries = next(part["components"] for part in page if part["name"] == "vaporforge-page")
    assert {package["name"] for package in libraries} == {"dompurify", "marked"}


def test_the_licences_are_a_table_in_which_none_is_left_out() -> None:
    rows = [line.split("\t") for line in sbom.licence_table(parts()).splitlines()]
    assert ["?", "libc6", "2.36-9+deb12u10", "vaporforge-dev/agent"] in rows
    assert ["Apache-2.0 AND MIT", "aiohttp", "3.14.5", "vaporforge-dev/gateway"] in rows
    assert ["(MPL-2.0 OR Apache-2.0)", "dompurify", "3.4.18", "vaporforge-page"] in rows
    assert len(rows) == 2 * 3 + 2
    assert rows == sorted(rows)


def test_the_inventory_of_an_interpreter_has_its_packages_at_the_versions_of_the_lock() -> None:
    listed = subprocess.run([sys.executable, sbom.INVENTORY], capture_output=True, text=True, check=True)
    found = {package["name"]: package for package in json.loads(listed.stdout)["python"]}
    locked = dict(
        re.findall(r"^([a-z0-9._-]+)==([^ \\]+)", (sbom.ROOT / "requirements.txt").read_text(), re.MULTILINE)
    )
    assert found["aiohttp"]["version"] == locked["aiohttp"]
    assert found["boto3"]["licence"] == "Apache-2.0"
    wrong = {
        name: found[name]["version"]
        for name in found.keys() & locked
        if found[name]["version"] != locked[name]
    }
    assert not wrong


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("Files: *\nLicense: GPL-2+\n\nFiles: x\nLicense: MIT\n\nLicense: GPL-2+\n text\n", "GPL-2+ AND MIT"),
        ("This package was debianized by somebody.", ""),
    ],
)
def test_debian_s_licences_are_read_where_a_machine_can(tmp_path: Path, text: str, licence: str) -> None:
    file = tmp_path / "copyright"
    file.write_text(text)
    assert debian_licence(file) == licence
    assert debian_licence(tmp_path / "none") == ""


def test_a_stack_without_images_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbom, "_docker", lambda *_: "")
    with pytest.raises(CliError, match="the stack prod has no images"):
        sbom.stack_images("prod")
