"""What a sandbox says of terminals is anybody's word."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import SandboxUnavailable
from gateway.web.terminals.judged import terminal_json, terminals_json

GOOD = {
    "id": "t1",
    "createdAt": 1.5,
    "cols": 80,
    "rows": 24,
    "cursor": 7,
    "running": True,
    "exitCode": None,
    "busy": False,
}


def test_what_is_known_goes_on_and_nothing_else() -> None:
    told = terminal_json({**GOOD, "secret": "x", "running": "yes"})
    assert told == {**GOOD, "createdAt": "1970-01-01T00:00:01.500Z", "running": False}


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "a b"},
        {"id": None},
        {"id": ["t1"]},
        {"createdAt": "x"},
        {"createdAt": 1e300},
        {"createdAt": True},
        {"cols": 0},
        {"rows": 501},
        {"rows": True},
        {"cursor": -1},
        {"cursor": 2**60},
        {"exitCode": 256},
        {"exitCode": "0"},
    ],
    ids=str,
)
def test_what_is_odd_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(SandboxUnavailable):
        terminal_json({**GOOD, **odd})


@pytest.mark.parametrize(
    "told", [{}, {"terminals": {}}, {"terminals": [GOOD] * 65}, {"terminals": [None]}], ids=repr
)
def test_a_list_that_is_none_or_too_long_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(SandboxUnavailable):
        terminals_json(told)
