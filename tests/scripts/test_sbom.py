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
from scripts.lib.inventory import debian_licence, distribution, go_build, go_modules, text_licence

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = f"sha256:{'ab' * 32}"
FOUND = {
    "debian": [
        {
            "name": "tini",
            "version": "0.19.0-1+b3",
            "arch": "amd64",
            "licence": "Expat",
            "source": "tini@0.19.0-1",
            "distro": "debian-12",
        },
        {
            "name": "libc6",
            "version": "2.36-9+deb12u10",
            "arch": "amd64",
            "licence": "",
            "source": "",
            "distro": "debian-12",
        },
    ],
    "python": [{"name": "aiohttp", "version": "3.14.5", "licence": "Apache-2.0 AND MIT"}],
    "go": [
        {"name": "github.com/stripe/smokescreen", "version": "v0.1.0", "licence": "MIT"},
        {"name": "stdlib", "version": "1.25.0", "licence": "BSD-3-Clause"},
    ],
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
        "pkg:deb/debian/tini@0.19.0-1%2Bb3?arch=amd64&distro=debian-12&upstream=tini%400.19.0-1",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12",
        "pkg:pypi/aiohttp@3.14.5",
        "pkg:golang/github.com/stripe/smokescreen@v0.1.0",
        "pkg:golang/stdlib@1.25.0",
    }


def test_the_page_s_libraries_are_those_that_it_loads() -> None:
    page = json.loads(sbom.bill(parts()))["components"]
    libraries = next(part["components"] for part in page if part["name"] == "vaporforge-page")
    assert {package["name"] for package in libraries} >= {
        "@highlightjs/cdn-assets",
        "dompurify",
        "marked",
        "@xterm/xterm",
    }
    assert "pkg:npm/%40xterm/xterm@6.0.0" in {package["purl"] for package in libraries}
    assert "@xterm/headless" not in {package["name"] for package in libraries}  # that is the tests' own


def test_the_licences_are_a_table_in_which_none_is_left_out() -> None:
    rows = [line.split("\t") for line in sbom.licence_table(parts()).splitlines()]
    assert ["?", "libc6", "2.36-9+deb12u10", "vaporforge-dev/agent"] in rows
    assert ["Apache-2.0 AND MIT", "aiohttp", "3.14.5", "vaporforge-dev/gateway"] in rows
    assert ["(MPL-2.0 OR Apache-2.0)", "dompurify", "3.4.18", "vaporforge-page"] in rows
    assert len(rows) == 2 * 5 + 8
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


MODULES = (
    "path\tgithub.com/stripe/smokescreen\n"
    "mod\tgithub.com/stripe/smokescreen\tv0.1.0\th1:x=\n"
    "dep\tgithub.com/elazarl/goproxy\tv0.0.1\n"
    "=>\tgithub.com/stripe/goproxy\tv0.0.2\th1:y=\n"
    "build\t-trimpath=true\n"
)


def go_program(modules: str) -> bytes:
    """What Go's linker writes of a program's build: magic, width, flags, and two strings after their lengths."""
    told = b"\x00" * 16 + modules.encode() + b"\x00" * 16
    length = bytes([len(told) & 0x7F | 0x80, len(told) >> 7])
    return b"\xff Go buildinf:\x08\x02".ljust(32, b"\0") + b"\x08go1.26.6" + length + told


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        (
            MODULES,
            [
                ("stdlib", "1.26.6"),
                ("github.com/stripe/smokescreen", "v0.1.0"),
                ("github.com/stripe/goproxy", "v0.0.2"),
            ],
        ),
        ("path\tmine\nmod\tmine\t(devel)\t\n" + "build\tx\n" * 20, [("stdlib", "1.26.6")]),
    ],
)
def test_a_go_program_s_modules_are_those_that_it_was_linked_of(
    modules: str, found: list[tuple[str, str]]
) -> None:
    assert go_build(go_program(modules)) == found


def test_go_s_programs_are_found_with_their_licences(tmp_path: Path) -> None:
    programs, licences = tmp_path / "bin", tmp_path / "licences"
    programs.mkdir()
    mention = b"\x7fELF" + b"\xff Go buildinf:".rjust(40, b"\0")
    (programs / "proxy").write_bytes(mention.ljust(64, b"\0") + go_program(MODULES) + b"\0" * 90)
    (programs / "script").write_bytes(b"#!/bin/sh\n" + go_program(MODULES))
    (programs / "link").symlink_to("proxy")
    for file in ("proxy", "script"):
        (programs / file).chmod(0o755)
    (licences / "github.com/stripe/goproxy@v0.0.2").mkdir(parents=True)
    (licences / "github.com/stripe/goproxy@v0.0.2" / "LICENSE").write_text(
        "Permission is hereby granted, free\n of charge, to any person"
    )
    assert go_modules((programs,), licences) == [
        {"name": "github.com/stripe/goproxy", "version": "v0.0.2", "licence": "MIT"},
        {"name": "github.com/stripe/smokescreen", "version": "v0.1.0", "licence": ""},
        {"name": "stdlib", "version": "1.26.6", "licence": "BSD-3-Clause"},
    ]


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("Apache License\n  Version 2.0, January 2004", "Apache-2.0"),
        ("Redistribution and use in source and binary forms ... \nNeither the name of", "BSD-3-Clause"),
        ("Redistribution and use in source and binary forms, with", "BSD-2-Clause"),
        ("Mozilla Public License, version 2.0", "MPL-2.0"),
        ("Permission to use, copy, modify, and distribute this software", "ISC"),
        ("All rights reserved.", ""),
    ],
)
def test_a_licence_is_known_by_its_words(tmp_path: Path, text: str, licence: str) -> None:
    (tmp_path / "LICENSE").write_text(text)
    assert text_licence(tmp_path) == licence


def test_the_distribution_is_the_one_that_the_image_tells(tmp_path: Path) -> None:
    (tmp_path / "debian").write_text('PRETTY_NAME="Debian"\nVERSION_ID="12"\nID=debian\n')
    (tmp_path / "other").write_text("ID=wolfi\nVERSION_ID=20230201.5\n")
    assert distribution(tmp_path / "debian") == "debian-12"
    assert distribution(tmp_path / "other") == "wolfi-20230201"
    assert distribution(tmp_path / "none") == ""


def test_a_stack_without_images_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sbom, "_docker", lambda *_: "")
    with pytest.raises(CliError, match="the stack prod has no images"):
        sbom.stack_images("prod")
