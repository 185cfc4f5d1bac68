"""One value of the configuration: its text as what its type and its rules say, or a refusal that names its key."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.runtime import config as runtime_config


class ConfigError(pulumi.RunError):
    """A configuration value is bad; the message names the key and says what it must be."""


def parse_value(key: str, text: str, kind: str, rules: Mapping[str, Any]) -> Any:
    """`kind`: the name of a type. `rules`: `least` and `most` of a number; of a text its `choices`, or a `pattern` and
    what it `must` be."""
    if kind == "Secret":
        if not runtime_config.is_config_secret(key):
            raise ConfigError(
                f"{key} is in the clear; it must be encrypted: pulumi config set --secret {key}"
            )
        return pulumi.Output.secret(text)
    if kind == "bool":
        if text.lower() not in {"true", "false"}:
            raise ConfigError(f"{key} is {text!r}; it must be true or false")
        return text.lower() == "true"
    if kind in {"int", "float"}:
        return _number(key, text, kind, rules)
    if (choices := rules.get("choices")) and text not in choices:
        raise ConfigError(f"{key} is {text!r}; it must be one of {', '.join(choices)}")
    if (pattern := rules.get("pattern")) and not re.fullmatch(pattern, text):
        raise ConfigError(f"{key} is {text!r}; it must be {rules['must']}")
    return text


def _number(key: str, text: str, kind: str, rules: Mapping[str, Any]) -> float:
    try:
        number: float = int(text) if kind == "int" else float(text)
    except ValueError:
        raise ConfigError(f"{key} is {text!r}; it must be a {'whole ' * (kind == 'int')}number") from None
    if math.isinf(number) or not rules["least"] <= number <= rules["most"]:
        most = f" and at most {rules['most']}" if math.isfinite(rules["most"]) else ""
        raise ConfigError(f"{key} is {text}; it must be {rules['least']} or more{most}")
    return number
