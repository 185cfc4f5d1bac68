"""One value of the configuration: its text as what its type and its rules say, or a refusal that names its key."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Final

import pulumi
from pulumi.runtime import config as runtime_config

HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@,:\[\]]+)(?::\d{1,5})?"
"""A host, with or without a port, in a URL."""

ORIGIN: Final = rf"[a-z][a-z0-9+.-]*://{HOST}"
"""What a browser sends as a page's origin."""

EGRESS_PRESETS: Final = Path(__file__).resolve().parent.parent / "gateway" / "egress" / "presets.json"
"""The gateway's, which expands them."""

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EGRESS_ENTRY: Final = re.compile(
    rf"(?=.{{1,255}}$)(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\.(?![0-9]+\.?$|0x[0-9a-f]*\.?$){_LABEL}\.?",
    re.IGNORECASE,
)
"""As gateway/egress/hosts.py takes it: a name of two labels or more, or `*.` and one; no address."""


_GIT_PART: Final = r"(?!\.{1,2}(?:/|$))[A-Za-z0-9_.~+-]{1,100}"
_GIT_HOST: Final = re.compile(
    r"(?:https?://)?[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?"
    rf"(?:/{_GIT_PART}(?:/{_GIT_PART}){{0,18}})?/?"
)
"""As gateway/broker/git/hosts.py takes it."""


class ConfigError(pulumi.RunError):
    """A configuration value is bad; the message names the key and says what it must be."""


def number(default: float, least: float, most: float = math.inf, *, on_aws: float | None = None) -> Any:
    """A field that is a number between these, both among them. `on_aws`: its default there, where it is another."""
    more = {} if on_aws is None else {"on_aws": on_aws}
    return field(default=default, metadata={"least": least, "most": most, **more})


def among(default: int, numbers: Sequence[int]) -> Any:
    """A field that is one of these numbers."""
    return field(default=default, metadata={"among": tuple(numbers)})


def text(default: str, pattern: str, must: str) -> Any:
    """A field that is empty or matches `pattern` whole; `must`: what the refusal says that it must be."""
    return field(default=default, metadata={"pattern": pattern, "must": must})


def checked(default: str, check: Callable[[str], object]) -> Any:
    """A field that is empty, or what `check` takes; the `ValueError` that it raises says what it must be."""
    return field(default=default, metadata={"check": check})


def choice(default: str, *others: str, on_aws: str | None = None) -> Any:
    """A field that is one of these words. `on_aws`: its default there, where it is another."""
    more = {} if on_aws is None else {"on_aws": on_aws}
    return field(default=default, metadata={"choices": (default, *others), **more})


def arn(service: str, rest: str) -> str:
    """The pattern of an Amazon resource name with a region and an account."""
    return rf"arn:aws[a-z-]*:{service}:[a-z0-9-]+:\d{{12}}:{rest}"


def key_of(name: str) -> str:
    """The key of a field, without the project's name: `partFiles` of `part_files`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def parse_value(key: str, given: str, kind: str, rules: Mapping[str, Any]) -> Any:
    """`kind`: the name of a type. `rules`: `least` and `most` of a number, or those that it is `among`; of a text its
    `choices`, a `pattern` and what it `must` be, or its `check`."""
    if kind == "Secret":
        if not runtime_config.is_config_secret(key):
            raise ConfigError(
                f"{key} is in the clear; it must be encrypted: pulumi config set --secret {key}"
            )
        return pulumi.Output.secret(given)
    if kind == "bool":
        if given.lower() not in {"true", "false"}:
            raise ConfigError(f"{key} is {given!r}; it must be true or false")
        return given.lower() == "true"
    if kind in {"int", "float"}:
        return _number(key, given, kind, rules)
    if (choices := rules.get("choices")) and given not in choices:
        raise ConfigError(f"{key} is {given!r}; it must be one of {', '.join(choices)}")
    if (pattern := rules.get("pattern")) and not re.fullmatch(pattern, given):
        raise ConfigError(f"{key} is {given!r}; it must be {rules['must']}")
    if (check := rules.get("check")) is not None:
        try:
            check(given)
        except ValueError as error:
            raise ConfigError(f"{key} is {given!r}; {error}") from None
    return given


def _number(key: str, given: str, kind: str, rules: Mapping[str, Any]) -> float:
    try:
        parsed: float = int(given) if kind == "int" else float(given)
    except ValueError:
        raise ConfigError(f"{key} is {given!r}; it must be a {'whole ' * (kind == 'int')}number") from None
    if (numbers := rules.get("among")) is not None:
        if parsed not in numbers:
            raise ConfigError(f"{key} is {given}; it must be one of {', '.join(map(str, numbers))}")
        return parsed
    if math.isinf(parsed) or not rules["least"] <= parsed <= rules["most"]:
        most = f" and at most {rules['most']}" if math.isfinite(rules["most"]) else ""
        raise ConfigError(f"{key} is {given}; it must be {rules['least']} or more{most}")
    return parsed


def egress_entries(given: str) -> list[str]:
    """Hosts, patterns and presets, separated by commas. Raises `ValueError` naming the first that is none."""
    entries = [entry.strip() for entry in given.split(",") if entry.strip()]
    known = preset_names()
    for entry in entries:
        if entry not in known and not _EGRESS_ENTRY.fullmatch(entry):
            raise ValueError(
                f"it must be hosts such as example.com, all below one as *.example.com, or presets "
                f"({', '.join(known)}), separated by commas, and {entry!r} is none"
            )
    return entries


def git_host_entries(given: str) -> list[str]:
    """Git hosts, separated by commas. Raises `ValueError` naming the first that is none."""
    entries = [entry.strip() for entry in given.split(",") if entry.strip()]
    for entry in entries:
        if not _GIT_HOST.fullmatch(entry):
            raise ValueError(
                "it must be hosts such as github.com, with a port and a path where these are meant "
                f"(git.example.com:8443/team), separated by commas, and {entry!r} is none"
            )
    return entries


def preset_names() -> Sequence[str]:
    """The names of groups and presets."""
    kept = json.loads(EGRESS_PRESETS.read_text(encoding="utf-8"))
    return [*kept["groups"], *kept["presets"]]


def check_egress(*, egress: str, internet: bool, given: bool, allow: str, learn: bool) -> str:
    """What `egress` is, `sandboxInternet` being another way to say `all`. Raises `ConfigError` for what contradicts it.
    `given`: whether the key was given, with whatever value."""
    if internet and given:
        raise ConfigError(
            "vaporforge:sandboxInternet is true and vaporforge:egress is given, too; sandboxInternet is an older name "
            "of egress all: set one of them"
        )
    level = "all" if internet else egress
    if level in ("none", "all"):
        for key, said in (("egressAllow", allow), ("egressLearn", learn)):
            if said:
                raise ConfigError(
                    f"vaporforge:{key} is given and vaporforge:egress is {level}; it is for egress registries and "
                    "list: set egress to one of them, or leave the key out"
                )
    if level == "list" and not (allow or learn):
        raise ConfigError(
            "vaporforge:egress is 'list' and vaporforge:egressAllow is empty; it must name the hosts, or set "
            "egressLearn to find out which there are"
        )
    return level
