"""Secrets that a stack makes for itself once and keeps in its state, encrypted; each has versions, to be rotated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from infra.own import StackResource

NAMES: Final = ("jwt", "sandbox", "credential", "launcher", "proxy")

VARIABLES: Final[Mapping[str, str]] = {
    "jwt": "VF_JWT_SECRET",
    "sandbox": "VF_SANDBOX_SECRET",
    "credential": "VF_CREDENTIAL_KEY",
    "launcher": "VF_LAUNCHER_SECRET",
    "proxy": "VF_PROXY_SECRET",
}
"""What the parts are told each as (gateway/config.py)."""

ACCEPTED: Final = "_ACCEPTED"
"""Behind a variable: the other version, which is taken as well while the secret is rotated."""

MOST_VERSIONS: Final = 1000

_ENTRY: Final = re.compile(r"([a-z]+)=([1-9][0-9]{0,3})(?:\+([1-9][0-9]{0,3}))?")


@dataclass(frozen=True, slots=True)
class Version:
    """Which version of a secret is the current one, and which other one is accepted; 0 is none."""

    current: int = 1
    accepted: int = 0

    @property
    def is_rotated(self) -> bool:
        """Whether the one that is accepted is the old one."""
        return 0 < self.accepted < self.current

    def __str__(self) -> str:
        return f"{self.current}+{self.accepted}" if self.accepted else str(self.current)


def read_versions(text: str) -> dict[str, Version]:
    """`secretVersions`, such as `jwt=2, sandbox=1+2`, by the secrets' names, all of them. Raises `ValueError`."""
    found = dict.fromkeys(NAMES, Version())
    seen: set[str] = set()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        told = _ENTRY.fullmatch(entry)
        if told is None or told[1] not in NAMES or told[1] in seen:
            raise ValueError(
                f"{entry!r} must be NAME=VERSION or NAME=VERSION+ACCEPTED, once for each of {', '.join(NAMES)}; "
                "scripts/rotate writes it"
            )
        seen.add(told[1])
        found[told[1]] = version = Version(int(told[2]), int(told[3] or 0))
        if version.current == version.accepted or max(version.current, version.accepted) > MOST_VERSIONS:
            raise ValueError(
                f"{entry!r} must name two versions, up to {MOST_VERSIONS}; scripts/rotate writes it"
            )
    return found


def write_versions(versions: Mapping[str, Version]) -> str:
    """What `read_versions` reads; empty where every secret has its first version."""
    told = [f"{name}={version}" for name, version in versions.items() if version != Version()]
    return ", ".join(told)


class GeneratedSecrets(StackResource):
    """64 random URL-safe characters for each version of each of `NAMES` up to the highest that is used; one that is
    made later leaves the others as they are."""

    def __init__(
        self, name: str, opts: pulumi.ResourceOptions, versions: Mapping[str, Version] | None = None
    ) -> None:
        versions = versions or read_versions("")
        names = [
            _name(purpose, number)
            for purpose, version in versions.items()
            for number in range(1, max(version.current, version.accepted) + 1)
        ]
        self._versions = versions
        props: dict[str, Any] = {"names": names, **dict.fromkeys(names)}
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(additional_secret_outputs=names))
        super().__init__("Secrets", name, props, opts)

    def told(self, own: Mapping[str, pulumi.Output[str] | None]) -> dict[str, pulumi.Output[str]]:
        """By variable, each current secret, and beside it the accepted one where there is one. `own`: by name, the
        first version of those that whoever deploys has set."""
        found: dict[str, pulumi.Output[str]] = {}
        for name, version in self._versions.items():
            for number, variable in (
                (version.current, VARIABLES[name]),
                (version.accepted, VARIABLES[name] + ACCEPTED),
            ):
                first = own.get(name) if number == 1 else None
                if number:
                    found[variable] = first or pulumi.Output.secret(getattr(self, _name(name, number)))
        return found


def _name(secret: str, number: int) -> str:
    return secret if number == 1 else f"{secret}_{number}"
