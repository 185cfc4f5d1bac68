"""The definition of the store's table, read as data from the gateway: the gateway, the tests and Pulumi share it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_table(root: Path) -> dict[str, Any]:
    """The arguments of DynamoDB's CreateTable without the name; the time to live is set by a call of its own.

    Raises `ValueError` when the keys are not told."""
    definition = _read(root)
    if "KeySchema" not in definition:
        raise ValueError("gateway/table.json has no KeySchema")
    definition.pop("TimeToLiveSpecification", None)
    return definition


def read_expiry(root: Path) -> str:
    """The attribute by which items expire."""
    name: str = _read(root)["TimeToLiveSpecification"]["AttributeName"]
    return name


def _read(root: Path) -> dict[str, Any]:
    definition: dict[str, Any] = json.loads((root / "gateway" / "table.json").read_text(encoding="utf-8"))
    return definition
