"""Prices and quotas, each from its one file, with where it is from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """`usd`: US dollars. `per`: for what. `date`: of the source."""

    usd: float
    per: str
    date: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A default of AWS's. `code`: its service and code in Service Quotas, by which more is asked for."""

    value: int
    what: str
    code: str
    source: str


def prices_of(region: str) -> Mapping[str, Price] | None:
    """By name; None where the file has none of the region."""
    found = _read("prices.json")["regions"].get(region)
    if found is None:
        return None
    return {
        name: Price(usd=row["usd"], per=row["per"], date=row["date"], source=row["source"])
        for name, row in found.items()
    }


def known_regions() -> tuple[str, ...]:
    """Those that have prices."""
    return tuple(_read("prices.json")["regions"])


def quotas() -> Mapping[str, Quota]:
    """By name."""
    return {name: Quota(**row) for name, row in _read("quotas.json")["quotas"].items()}


@cache
def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return found
