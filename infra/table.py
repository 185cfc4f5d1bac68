"""The definition of the store's table, read as data from the gateway: the gateway, the tests and Pulumi share it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_table(root: Path) -> dict[str, Any]:
    """The arguments of DynamoDB's CreateTable without the name; the time to live is set by a call of its own.

    Raises `ValueError` when the keys are not told."""
    path = root / "gateway" / "table.json"
    definition: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "KeySchema" not in definition:
        raise ValueError("gateway/table.json has no KeySchema")
    definition.pop("TimeToLiveSpecification", None)
    return definition
