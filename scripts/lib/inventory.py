"""What an image is made of: Debian's and Python's packages and Go's modules, with their licences, as JSON on standard
output.

It is run by the image's own Python (`scripts/sbom`), so it needs nothing but the standard library.
"""

from __future__ import annotations

import importlib.metadata
import json
import mmap
import os
import re
import subprocess
import sys
from pathlib import Path

RELEASE = Path("/etc/os-release")
DOCS = Path("/usr/share/doc")
PROGRAMS = (Path("/usr/local"), Path("/opt"))
"""Where programs lie that are of no Debian package."""

GO_LICENCES = Path("/usr/local/share/licences")
"""A folder for each module, `path@version`, with its licence's text: infra/egress/Dockerfile puts them there."""

GO_BUILD_INFO = b"\xff Go buildinf:"
"""Before what Go's linker writes of a program's build into it: the format of `debug/buildinfo`, since Go 1.18."""

GO_INLINE = 2
GO_SENTINEL = 16
"""Bytes before and after the list of modules."""

LICENCE_TEXTS = (
    (r"Apache License,? Version 2\.0", "Apache-2.0"),
    (r"Mozilla Public License,? (?:Version|v\.) 2\.0", "MPL-2.0"),
    (r"Permission is hereby granted, free of charge", "MIT"),
    (r"Permission to use, copy, modify, and(?:/or)? distribute", "ISC"),
    (
        r"Redistribution and use in source and binary forms.*(?:Neither the name|names? of (?:its|the) contrib)",
        "BSD-3-Clause",
    ),
    (r"Redistribution and use in source and binary forms", "BSD-2-Clause"),
)
"""The first that is found in a licence's text names it."""

FIELDS = "${db:Status-Abbrev}\\t${binary:Package}\\t${Version}\\t${Architecture}\\t${source:Package}\\t"
FIELDS += "${source:Version}\\n"


def debian_packages() -> list[dict[str, str]]:
    """`{name, version, arch, licence, source, distro}` of each installed package, by name; none where there is no dpkg.
    `source`: `name@version` of what it was built of, where that is called otherwise; `distro`: `debian-12`."""
    try:
        listed = subprocess.run(
            ["dpkg-query", "-W", "-f", FIELDS], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        return []
    packages, distro = [], distribution(RELEASE)
    for line in listed.stdout.splitlines():
        status, name, version, arch, source, source_version = line.split("\t")
        if status.startswith("ii"):
            name = name.partition(":")[0]
            packages.append(
                {
                    "name": name,
                    "version": version,
                    "arch": arch,
                    "licence": debian_licence(DOCS / name / "copyright"),
                    "source": ""
                    if (source, source_version) == (name, version)
                    else f"{source}@{source_version}",
                    "distro": distro,
                }
            )
    return sorted(packages, key=lambda package: package["name"])


def distribution(release: Path) -> str:
    """Name and major version by os-release(5), such as `debian-12`; empty where it tells none."""
    try:
        told = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', release.read_text(), re.MULTILINE))
    except OSError:
        return ""
    return "-".join(filter(None, (told.get("ID"), told.get("VERSION_ID", "").partition(".")[0])))


def debian_licence(file: Path) -> str:
    """The short names of a machine-readable copyright file (DEP 5), joined by ` AND `; empty where it is not one."""
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return ""
    names = re.findall(r"^License:[ \t]*(\S.*?)[ \t]*$", text, re.MULTILINE)
    return " AND ".join(dict.fromkeys(names))


def python_packages() -> list[dict[str, str]]:
    """`{name, version, licence}` of each package of this interpreter, by name."""
    packages = {
        dist.metadata["Name"].lower().replace("_", "-"): {
            "name": dist.metadata["Name"].lower().replace("_", "-"),
            "version": dist.version,
            "licence": python_licence(dist),
        }
        for dist in importlib.metadata.distributions()
    }
    return [packages[name] for name in sorted(packages)]


def python_licence(dist: importlib.metadata.Distribution) -> str:
    """By PEP 639's expression, else the classifiers, else the first line of the free text."""
    expression = _values(dist, "License-Expression")
    if expression:
        return expression[0]
    classifiers = [
        value.rpartition(" :: ")[2]
        for value in _values(dist, "Classifier")
        if value.startswith("License :: ") and value != "License :: OSI Approved"
    ]
    free = "".join(_values(dist, "License")).strip().partition("\n")[0]
    return " AND ".join(classifiers) or free[:80]


def go_modules(places: tuple[Path, ...] = PROGRAMS, licences: Path = GO_LICENCES) -> list[dict[str, str]]:
    """`{name, version, licence}` of each module in each Go program below `places`, the standard library among them."""
    modules: dict[tuple[str, str], dict[str, str]] = {}
    for place in places:
        for folder, _, names in os.walk(place):
            for file in (Path(folder, name) for name in names):
                for name, version in _built_of(file):
                    known = (
                        "BSD-3-Clause" if name == "stdlib" else text_licence(licences / f"{name}@{version}")
                    )
                    modules[name, version] = {"name": name, "version": version, "licence": known}
    return [modules[key] for key in sorted(modules)]


def text_licence(folder: Path) -> str:
    """By the words of the texts in the folder; empty where there are none, or none that is known."""
    found = []
    for file in sorted(folder.glob("*")):
        words = " ".join(file.read_text(errors="replace").split())
        found += [name for pattern, name in LICENCE_TEXTS if re.search(pattern, words, re.IGNORECASE)][:1]
    return " AND ".join(dict.fromkeys(found))


def go_build(content: bytes) -> list[tuple[str, str]]:
    """`(path, version)` of what a Go program was built of, by the build information at the beginning of `content`."""
    if content[15] & GO_INLINE == 0:
        return []
    version, rest = _go_string(content[32:])
    told = _go_string(rest)[0][GO_SENTINEL:-GO_SENTINEL].decode("utf-8", "replace")
    modules = [("stdlib", version.decode("utf-8", "replace").split()[0].removeprefix("go"))]
    for line in told.splitlines():
        kind, *words = line.split("\t")
        if kind == "=>":
            modules.pop()
        if kind in {"mod", "dep", "=>"} and words[1] != "(devel)":
            modules.append((words[0], words[1]))
    return modules


def _go_string(content: bytes) -> tuple[bytes, bytes]:
    """A string with its length before it, as a varint; and what follows."""
    length = shift = at = 0
    while True:
        length |= (content[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if content[at - 1] < 0x80:
            return content[at : at + length], content[at + length :]


def _built_of(file: Path) -> list[tuple[str, str]]:
    if file.is_symlink() or not file.is_file() or not os.access(file, os.X_OK):
        return []
    with file.open("rb") as opened:
        if opened.read(4) != b"\x7fELF":
            return []
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = content.find(GO_BUILD_INFO)
            # Aligned, which tells it from a program's own mention of these bytes.
            while at % 16 and at >= 0:
                at = content.find(GO_BUILD_INFO, at + 1)
            return go_build(content[at : at + 1_000_000]) if at >= 0 else []


def _values(dist: importlib.metadata.Distribution, name: str) -> list[str]:
    return [str(value) for value in dist.metadata.get_all(name) or []]


if __name__ == "__main__":
    json.dump({"debian": debian_packages(), "python": python_packages(), "go": go_modules()}, sys.stdout)
