"""What an image is made of: Debian's and Python's packages with their licences, as JSON on standard output.

It is run by the image's own Python (`scripts/sbom`), so it needs nothing but the standard library.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path("/usr/share/doc")
FIELDS = "${db:Status-Abbrev}\\t${binary:Package}\\t${Version}\\t${Architecture}\\n"


def debian_packages() -> list[dict[str, str]]:
    """`{name, version, arch, licence}` of each installed package, by name; none where there is no dpkg."""
    try:
        listed = subprocess.run(
            ["dpkg-query", "-W", "-f", FIELDS], capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        return []
    packages = []
    for line in listed.stdout.splitlines():
        status, name, version, arch = line.split("\t")
        if status.startswith("ii"):
            name = name.partition(":")[0]
            packages.append(
                {
                    "name": name,
                    "version": version,
                    "arch": arch,
                    "licence": debian_licence(DOCS / name / "copyright"),
                }
            )
    return sorted(packages, key=lambda package: package["name"])


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


def _values(dist: importlib.metadata.Distribution, name: str) -> list[str]:
    return [str(value) for value in dist.metadata.get_all(name) or []]


if __name__ == "__main__":
    json.dump({"debian": debian_packages(), "python": python_packages()}, sys.stdout)
