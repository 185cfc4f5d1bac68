"""Metrics: the embedded metric format's lines, and what the gateway tells in them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.runs.metrics import Figures, Metrics, line


def test_a_line_is_of_the_embedded_metric_format() -> None:
    """The specification's required members: Timestamp in ms, Namespace, Dimensions, Metrics; values at the root."""
    told = json.loads(line("prod", {"LiveRuns": 3}, 1_800_000_000.25))
    assert told == {
        "_aws": {
            "Timestamp": 1_800_000_000_250,
            "CloudWatchMetrics": [
                {
                    "Namespace": "VaporForge",
                    "Dimensions": [["Stack"]],
                    "Metrics": [{"Name": "LiveRuns", "Unit": "Count"}],
                }
            ],
        },
        "Stack": "prod",
        "LiveRuns": 3,
    }


def test_a_stack_of_any_name_stays_on_one_line() -> None:
    assert "\n" not in line("a\nb", {"LiveRuns": 0}, 0)


def test_counters_are_told_as_what_came_since_the_line_before() -> None:
    lost = 2
    metrics = Metrics("dev", lambda: Figures({"LiveRuns": 4}, {"RunsLost": lost}))
    first: dict[str, Any] = json.loads(metrics.tell())
    lost = 7
    second, third = json.loads(metrics.tell()), json.loads(metrics.tell())
    assert [told["RunsLost"] for told in (first, second, third)] == [2, 5, 0]
    assert [told["LiveRuns"] for told in (first, second, third)] == [4, 4, 4]


async def test_lines_go_to_stdout_until_it_is_cancelled(capsys: pytest.CaptureFixture[str]) -> None:
    told = asyncio.Event()
    left = 3

    def read() -> Figures:
        nonlocal left
        left -= 1
        if left == 0:
            told.set()
        return Figures({"LiveRuns": left}, {})

    telling = asyncio.create_task(Metrics("dev", read).tell_forever(seconds=0))
    await told.wait()
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    lines = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert [each["LiveRuns"] for each in lines[:2]] == [2, 1]
