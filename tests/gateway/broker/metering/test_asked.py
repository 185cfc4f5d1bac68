"""What a call's body says of what it may cost."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.broker.metering.asked import Asked, asked_of


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"model": "m", "max_tokens": 9, "stream": True}, Asked(("m",))),
        ({"model": "m", "max_tokens": 9}, Asked(("m",), 9)),
        ({"model": "m", "max_tokens": 9, "stream": False}, Asked(("m",), 9)),
        ({"model": "m", "max_tokens": 9, "stream": "true"}, Asked(("m",), 9)),
        ({"model": "m", "max_tokens": -9}, Asked(("m",))),
        ({"model": "m", "max_tokens": 9.5}, Asked(("m",))),
        ({"model": "m", "max_tokens": True}, Asked(("m",))),
        ({"model": 7}, Asked(("",))),
        ({}, Asked(("",))),
        (
            {"model": "m", "fallbacks": [{"model": "n"}, {"max_tokens": 1}, {"model": None}]},
            Asked(("m", "n", "")),
        ),
        ({"model": "m", "fallbacks": "default", "tools": None}, Asked(("m",))),
        (
            {"model": "m", "tools": [{"name": "t"}, {"type": "advisor_20260301", "model": "dear"}, 7]},
            Asked(("m", "dear")),
        ),
    ],
)
def test_models_and_the_longest_answer_that_nothing_cuts(body: dict[str, Any], asked: Asked) -> None:
    assert asked_of(body) == asked
