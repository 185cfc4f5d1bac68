"""The stack reads a schedule as its gateways do: by the same lines, which tests/gateway/test_schedule.py tries."""

from __future__ import annotations

from infra.config import ROOT


def test_it_is_the_gateways_own() -> None:
    assert (ROOT / "infra" / "schedule.py").read_text() == (ROOT / "gateway" / "schedule.py").read_text()
