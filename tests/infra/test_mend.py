"""The next command after a killed one: what it does to state and engine before its own work."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.cli.errors import CliError
from infra.cli.recovery import mend
from infra.cli.recovery.mend import Recovery
from infra.cli.recovery.orphans import Known
from infra.cli.state import State
from tests.infra.test_locks import locked

PENDING = {"type": "creating", "resource": {"inputs": {"name": "gateway-1"}}}


class FakeStack:
    """Pulumi's `Stack` with one resource. `calls`: what was asked of it."""

    def __init__(self, *pending: Mapping[str, Any]) -> None:
        self.calls: list[str] = []
        self.deployment: dict[str, Any] = {
            "resources": [{"type": "docker:index/container:Container", "id": "c-1"}],
            "pending_operations": list(pending),
        }

    def export_stack(self) -> Any:
        return SimpleNamespace(version=3, deployment=self.deployment)

    def import_stack(self, state: Any) -> None:
        self.calls.append("import")
        self.deployment = state.deployment

    def refresh(self, **_: Any) -> None:
        self.calls.append("refresh")
        assert not self.deployment["pending_operations"]


@pytest.fixture
def recovery(tmp_path: Path) -> Recovery:
    environ = {"VF_STATE": str(tmp_path), "PULUMI_HOME": str(tmp_path / "none")}
    state = State.of_machine(environ)
    return Recovery("dev", state, environ | state.environment(environ), "")


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Known]]:
    """What the engine was searched for."""
    searches: list[tuple[str, Known]] = []

    def remove(stack_id: str, known: Known, *_: Any, **__: Any) -> list[str]:
        searches.append((stack_id, known))
        return []

    monkeypatch.setattr(mend, "remove_orphans", remove)
    return searches


def backend(recovery: Recovery) -> Path:
    return recovery.state.folder / "backend"


def test_a_stack_that_nobody_killed_is_left_alone(
    recovery: Recovery, swept: list[tuple[str, Known]], capsys: pytest.CaptureFixture[str]
) -> None:
    stack = FakeStack()
    assert recovery.mend(stack, "config") == stack.deployment["resources"]  # type: ignore[arg-type] # a fake
    assert stack.calls == []
    assert [(stack_id, known.ids) for stack_id, known in swept] == [("vaporforge-dev", frozenset({"c-1"}))]
    assert capsys.readouterr().err == ""


def test_what_was_being_made_is_forgotten_looked_for_and_the_rest_looked_at(
    recovery: Recovery, swept: list[tuple[str, Known]]
) -> None:
    stack = FakeStack(PENDING)
    recovery.mend(stack, "config")  # type: ignore[arg-type] # a fake
    assert stack.calls == ["import", "refresh"]
    assert [known.pending for _, known in swept] == [{"gateway-1"}]


def test_what_was_being_made_in_aws_is_named_for_nothing_looks_for_it(
    recovery: Recovery, swept: list[tuple[str, Known]], capsys: pytest.CaptureFixture[str]
) -> None:
    kind = "aws:ec2/natGateway:NatGateway"
    made = {"urn": f"urn:pulumi:dev::vaporforge::{kind}::vaporforge-dev-nat-0", "type": kind, "inputs": {}}
    deleted = {**PENDING, "type": "deleting", "resource": made}
    recovery.mend(FakeStack(PENDING, deleted), "config")  # type: ignore[arg-type] # a fake
    assert "AWS" not in capsys.readouterr().err
    recovery.mend(FakeStack({"type": "creating", "resource": made}), "config")  # type: ignore[arg-type] # a fake
    told = capsys.readouterr().err
    assert f"vaporforge-dev-nat-0 ({kind}). What is there has the tag vaporforge:stack=vaporforge-dev" in told


def test_a_dead_runs_lock_is_taken_away_and_the_engine_looked_at(
    recovery: Recovery, swept: list[tuple[str, Known]], capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    path = locked(backend(recovery), process.pid)
    stack = FakeStack()
    recovery.mend(stack, "config")  # type: ignore[arg-type] # a fake
    assert not path.exists()
    assert stack.calls == ["refresh"]
    assert "its lock is taken away" in capsys.readouterr().err


def test_a_living_run_keeps_the_stack_and_is_named(recovery: Recovery) -> None:
    path = locked(backend(recovery), os.getpid())
    assert not recovery.free()
    assert path.exists()
    assert f"process {os.getpid()}, since" in recovery.holder()


def test_while_another_has_the_stack_nothing_of_it_is_touched(
    recovery: Recovery, swept: list[tuple[str, Known]]
) -> None:
    locked(backend(recovery), os.getpid())
    stack = FakeStack()
    with pytest.raises(CliError, match=f"another command has the stack dev: process {os.getpid()}"):
        recovery.mend(stack, "config")  # type: ignore[arg-type] # a fake
    assert stack.calls == []
    assert swept == []


def test_another_machines_run_is_named_with_the_file_that_holds_the_stack(recovery: Recovery) -> None:
    path = locked(backend(recovery), 1, host=f"not-{socket.gethostname()}")
    assert f"on not-{socket.gethostname()}" in recovery.holder()
    assert f"where it is dead, delete {path}" in recovery.holder()


def test_where_pulumi_keeps_the_lock_elsewhere_its_own_command_is_told_as_it_works(
    recovery: Recovery,
) -> None:
    assert f"cd {recovery.state.project_folder} && pulumi cancel --yes dev" in recovery.holder()
