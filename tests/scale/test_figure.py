"""The figure."""

from __future__ import annotations

import math

import pytest

from tests.scale.figure import LEAST, LEFT, MOST, Bar, place, svg


def test_ten_times_as_many_are_the_same_way_further() -> None:
    steps = [place(10.0 ** (power + 1)) - place(10.0**power) for power in range(1, 6)]
    assert steps == pytest.approx([steps[0]] * 5)
    assert place(LEAST) == place(1) == LEFT
    assert place(MOST) == place(math.inf)


def test_a_bar_says_its_number_and_its_name_is_text() -> None:
    drawn = svg([Bar("a < b", 200, math.inf), Bar("same", 300, 300)], aim=100_000)
    assert ">a &lt; b<" in drawn
    assert [f">{told}<" in drawn for told in ("200", "none", "300")] == [True, True, True]
    assert drawn.count(">300<") == 1
