"""Which parts of the set-up a deployment needs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from infra.cli import parts
from infra.cli.state import State

ALL = ["page", "docker", "base", "dynamodb-image", "pulumi"]


@pytest.mark.parametrize(
    ("configured", "left_out"),
    [
        ({}, set()),
        ({"agent": "claude", "dynamodb": "local"}, set()),
        ({"baseImage": "registry.example/base:1"}, {"base"}),
        ({"dynamodbImage": "registry.example/dynamodb:1"}, {"dynamodb-image"}),
        ({"dynamodb": "aws"}, {"dynamodb-image"}),
        ({"dockerHost": "ssh://me@there"}, {"docker", "base", "dynamodb-image"}),
        ({"baseImage": None}, set()),
    ],
)
def test_what_the_stack_brings_is_not_set_up(configured: dict[str, Any], left_out: set[str]) -> None:
    assert parts.parts(configured) == [part for part in ALL if part not in left_out]


def test_a_stack_on_aws_has_packages_of_its_own_and_no_local_table() -> None:
    assert parts.parts({"target": "aws"}) == ["aws", "page", "docker", "base", "pulumi"]


def test_this_call_s_options_count_and_so_do_those_that_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VF_STATE", str(tmp_path))
    State.of_machine({"VF_STATE": str(tmp_path)}).write_own("dev", {"baseImage": "mine:1"})
    monkeypatch.setattr(sys, "argv", ["up", "--secret", "modelApiKey", "--set", "dynamodb=aws"])
    parts.main()
    assert capsys.readouterr().out.split() == ["page", "docker", "pulumi"]
    monkeypatch.setattr(sys, "argv", ["up", "--set", "baseImage="])
    parts.main()
    assert capsys.readouterr().out.split() == ALL
