"""The outputs as a person reads them."""

from __future__ import annotations

import pytest

from infra.cost import capacity, table
from infra.cost.money import cost
from infra.cost.table import lines
from tests.infra.rules.test_rules import DEFAULTS

AWS = DEFAULTS["aws"]


def test_money_and_room_are_told_with_their_sums() -> None:
    told = list(lines({"cost": cost(AWS), "capacity": capacity.on_aws(AWS)}))
    assert told[0] == "Cost of a month in which nobody comes, USD, us-east-1"
    assert any(line.split()[:2] == ["load", "balancer"] and line.endswith(" 16.43") for line in told)
    totals = [line.split()[1] for line in told if line.startswith("    total ")]
    assert totals == [f"{cost(AWS)['idleMonth']['total']:.2f}", f"{cost(AWS)['sessionHour']['total']:.4f}"]
    assert "Sessions with a sandbox at once: 2" in told
    assert any(line.startswith("    first: Fargate On-Demand vCPU") for line in told)
    assert len([line for line in told if "not looked up at AWS" in line]) == 1


def test_a_region_without_prices_and_a_stack_on_docker_show_no_money() -> None:
    nowhere = {"region": "eu-central-1", "told": "there is no figure"}
    assert list(lines({"cost": nowhere})) == ["Cost: there is no figure"]
    told = "\n".join(lines({"capacity": capacity.on_docker(DEFAULTS["docker"], 4096)}))
    assert "Sessions with a sandbox at once: 2" in told
    assert "USD" not in told


def test_a_stack_of_an_earlier_version_shows_nothing() -> None:
    assert list(lines({"url": "http://127.0.0.1:8080"})) == []


def test_counts_that_came_back_from_the_engine_as_floats_are_whole() -> None:
    told = {"sessions": 2.0, "first": "a", "more": "b", "walls": {"z": 2000.0, "a": 2.0}, "told": "c"}
    shown = list(lines({"capacity": told}))
    assert shown[0].endswith(": 2")
    assert [line.split()[0] for line in shown[1:3]] == ["a", "z"]
    assert shown[2].endswith(" 2,000")


def test_the_page_has_the_table_of_a_stack_by_its_defaults() -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    assert page == table.written(page), "stale: python -m infra.cost.table"
    with pytest.raises(ValueError, match="no place"):
        table.written("nothing")
