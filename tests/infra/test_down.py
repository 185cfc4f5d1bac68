"""`scripts/down` of a stack that is not there."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from infra.cli import down
from infra.cli.stack import Deployment


def test_a_stack_that_is_not_there_is_told_and_nothing_is_fetched_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def made(cls: Any, name: str, *, plugin: bool = True) -> Any:
        assert not plugin, "it may be downloaded, for minutes"
        return object.__new__(cls)

    monkeypatch.setattr(Deployment, "of_machine", classmethod(made))
    monkeypatch.setattr(Deployment, "exists", lambda _: False)
    monkeypatch.setattr(sys, "argv", ["down", "--stack", "typo"])
    down.main()
    assert capsys.readouterr().err == "==> there is no stack typo\n"
