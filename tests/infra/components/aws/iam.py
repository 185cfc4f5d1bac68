"""What IAM would decide of a request, by the policies of a role: as much of its language as the stack's have."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Mapping
from typing import Any


def allows(policies: Iterable[str], action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Whether a statement allows it and none denies it. Raises KeyError for a condition that is not known here."""
    matching = [
        statement["Effect"]
        for policy in policies
        for statement in json.loads(policy)["Statement"]
        if _any(statement["Action"], action)
        and _any(statement["Resource"], resource)
        and _holds(statement.get("Condition", {}), context)
    ]
    return "Allow" in matching and "Deny" not in matching


def _any(patterns: Any, value: str) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in _list(patterns))


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _holds(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    compare = {
        "StringEquals": lambda a, b: a == b,
        "StringLike": fnmatch.fnmatchcase,
        "ArnEquals": fnmatch.fnmatchcase,
    }
    return all(
        key in context and any(compare[operator](context[key], wanted) for wanted in _list(values))
        for operator, keys in conditions.items()
        for key, values in keys.items()
    )
