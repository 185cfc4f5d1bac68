"""What counts as held, the table, and which attacks are chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.attack.attack import Attack, Field, Found
from tests.attack.campaign import Row, noticed
from tests.attack.catalogue import OUTSIDE, chosen
from tests.attack.report import lines
from tests.attack.test_attacks import NAMES
from tests.attack.watch import Figures

if TYPE_CHECKING:
    from typing import Any

CALM = Figures(largest_ms=40, p99_ms=25, health_ms=5, health_failed=0, frames=200)


async def nothing(_: Field) -> Found:
    return Found("nothing | at all")


def row(**changes: Any) -> Row:
    during = replace(CALM, **{name: value for name, value in changes.items() if name != "grown"})
    attack = Attack("family", "name", "public", nothing)
    return Row(attack, CALM, during, Found("nothing | at all"), 12.0, changes.get("grown", 0.0), 1.0)


def test_what_nobody_notices_holds() -> None:
    assert noticed(row(largest_ms=1000, p99_ms=50, grown=64)) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"largest_ms": 1001}, "a good user's stream stood still for 1.0 s"),
        ({"p99_ms": 51}, "p99 51 ms beside 25 without"),
        ({"health_failed": 1}, "1 health checks failed"),
        ({"grown": 65}, "memory: 65 MiB more afterwards"),
    ],
)
def test_what_somebody_notices_does_not(changes: dict[str, float], fault: str) -> None:
    assert noticed(row(**changes)) == [fault]


def test_what_the_attackers_own_computing_does_is_no_fault_of_the_gateway() -> None:
    one = row(p99_ms=80)
    one.beside = replace(CALM, p99_ms=41)
    assert noticed(one) == []
    one.beside = replace(CALM, p99_ms=39)
    assert noticed(one) == ["p99 80 ms beside 39 without"]


@pytest.mark.parametrize("markdown", [False, True])
def test_the_table_has_the_control_beside_each_attack(markdown: bool) -> None:
    bad = row(largest_ms=5000)
    bad.faults = noticed(bad)
    said = list(lines([row(), bad], ["good user 1: 3 frames twice"], ["no proxy"], markdown=markdown))
    [_, *_, held] = [line for line in said if line.lstrip("| ").startswith("family: name")]
    assert "5,000" in held
    assert " 40 " in held
    assert ("nothing \\| at all" if markdown else "nothing | at all") in held
    assert said[-4:] == [
        "note: no proxy",
        "FOUND family: name: a good user's stream stood still for 5.0 s",
        "FOUND good user 1: 3 frames twice",
        "1 of 2 attacks held.",
    ]


def test_every_attack_of_the_suite_is_one() -> None:
    assert set(NAMES) <= {attack.full_name for attack in OUTSIDE}


def test_no_two_attacks_have_the_same_name() -> None:
    names = [attack.full_name for attack in OUTSIDE]
    assert len(set(names)) == len(names)


def test_attacks_are_chosen_by_word_and_by_what_is_there() -> None:
    names = [attack.name for attack in chosen(OUTSIDE, ["forged", "4 at"], ["public"])]
    assert names == ["4 at public, no token", "4 at public, signed in", "forged tokens"]
