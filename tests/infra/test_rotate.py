"""Which versions of the stack's secrets are deployed one after another, and what the parts are told of them."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import docker
import pytest

from infra.cli.errors import CliError
from infra.cli.rotate import steps
from infra.generated import NAMES, Version, read_versions, write_versions
from infra.plugin.enginelog import EngineLog
from infra.plugin.properties import plain
from infra.plugin.resource import Context
from infra.plugin.stack.generated import SecretsType
from infra.program import program
from tests.infra.mocked import MADE, Mocks, run


def no_engine() -> docker.APIClient:
    raise AssertionError("this type asks no engine")


CONTEXT = Context(connect=no_engine, configured={}, urn="", log=EngineLog(""), cancelled=threading.Event())


@pytest.mark.parametrize("text", ["", "jwt=2", "jwt=2, sandbox=1+2", "credential=3+2, launcher=2+1, proxy=7"])
def test_what_is_read_is_written_as_it_was(text: str) -> None:
    versions = read_versions(text)
    assert tuple(versions) == NAMES
    assert write_versions(versions) == ", ".join(sorted(filter(None, text.split(", ")), key=_place))


def _place(entry: str) -> int:
    return NAMES.index(entry.partition("=")[0])


@pytest.mark.parametrize(
    "text",
    ["jwt", "jwt=0", "jwt=1+1", "other=2", "jwt=2, jwt=3", "jwt=1+2+3", "jwt=-1", "jwt=9999", "jwt=1+1001"],
)
def test_what_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"NAME=VERSION|two versions"):
        read_versions(text)


def test_first_all_accept_the_new_one_and_then_it_is_used() -> None:
    assert steps({}, ["sandbox"], finish=False) == ["sandbox=1+2", "sandbox=2+1"]
    assert steps({"secretVersions": "jwt=4"}, ["jwt"], finish=False) == ["jwt=4+5", "jwt=5+4"]
    others = {"secretVersions": "sandbox=2+1"}
    assert steps(others, ["jwt"], finish=False) == ["jwt=1+2, sandbox=2+1", "jwt=2+1, sandbox=2+1"]


def test_several_are_rotated_by_the_same_updates() -> None:
    assert steps({}, ["sandbox", "jwt", "jwt"], finish=False) == [
        "jwt=1+2, sandbox=1+2",
        "jwt=2+1, sandbox=2+1",
    ]
    unlike = {"secretVersions": "jwt=2+1, credential=1+2"}
    both = ["jwt=2+1, credential=1+2", "jwt=2+1, credential=2+1"]
    assert steps(unlike, ["jwt", "credential"], finish=False) == both
    assert steps(unlike, ["credential", "jwt"], finish=False) == both
    over = {"secretVersions": "jwt=2, sandbox=3+2"}
    assert steps(over, ["jwt", "sandbox"], finish=True) == ["jwt=2, sandbox=3+2", "jwt=2, sandbox=3"]


def test_what_was_interrupted_is_deployed_again_before_what_rests_on_it() -> None:
    for told, name, finish, values in (
        ("jwt=1+2", "jwt", False, ["jwt=1+2", "jwt=2+1"]),
        ("jwt=2+1", "jwt", False, ["jwt=2+1"]),
        ("jwt=2+1", "jwt", True, ["jwt=2+1", "jwt=2"]),
        ("jwt=2", "jwt", True, ["jwt=2"]),
    ):
        assert steps({"secretVersions": told}, [name], finish=finish) == values


ACTS = ("before", "half", "whole")
"""Where an update is interrupted: when the setting is written, when some gateways are new, not at all."""


@pytest.mark.parametrize("acts", [*itertools.product(ACTS, repeat=4)], ids="-".join)
def test_wherever_it_is_interrupted_all_parts_that_run_know_one_another(acts: tuple[str, ...]) -> None:
    """Each command is repeated until it ends; parts that run side by side accept what the others use."""
    configured, running, left = "", {Version()}, list(acts)
    for finish in (False, True):
        ended = False
        while not ended:
            ended = True
            for value in steps({"secretVersions": configured}, ["jwt"], finish=finish):
                configured, new = value, read_versions(value)["jwt"]
                act = left.pop(0) if left else "whole"
                if act != "before":
                    both = {*running, new}
                    for one, other in itertools.product(both, repeat=2):
                        assert one.current in (other.current, other.accepted), (running, new)
                    running = {new} if act == "whole" else both
                if act != "whole":
                    ended = False
                    break
        assert running == {Version(2, 0 if finish else 1)}


def test_the_old_one_is_dropped_by_finish_alone() -> None:
    for told in ("", "jwt=1+2"):
        with pytest.raises(CliError, match=r"^jwt: there is no old one to drop"):
            steps({"secretVersions": told}, ["jwt"], finish=True)


def test_what_a_target_has_not_is_not_rotated() -> None:
    for name in ("launcher", "proxy"):
        with pytest.raises(CliError, match=f"^{name}: a stack on AWS has no such secret"):
            steps({"target": "aws"}, ["jwt", name], finish=False)


class Versions(Mocks):
    """As the plugin: a secret for each name."""

    def new_resource(self, args: Any) -> tuple[str | None, dict[str, Any]]:
        made, outputs = super().new_resource(args)
        if args.typ.endswith(":Secrets"):
            outputs |= {
                name: MADE.get(name) or f"made-{name}".ljust(40, "y") for name in args.inputs["names"]
            }
        return made, outputs


def second(name: str) -> str:
    return f"made-{name}_2".ljust(40, "y")


@pytest.mark.parametrize(("told", "swapped"), [("1+2", False), ("2+1", True)])
def test_each_part_gets_both_while_a_secret_is_rotated(told: str, swapped: bool) -> None:
    config = {"secretVersions": ", ".join(f"{name}={told}" for name in NAMES)}
    stack = run(program, config, answers=Versions())
    gateway, launcher, proxy = (stack.files(part) for part in ("gateway-0", "launcher", "proxy"))

    def pair(name: str) -> tuple[str, str]:
        both = MADE[name], second(name)
        return both[::-1] if swapped else both

    for name, variable in (
        ("jwt", "VF_JWT_SECRET"),
        ("sandbox", "VF_SANDBOX_SECRET"),
        ("credential", "VF_CREDENTIAL_KEY"),
        ("launcher", "VF_LAUNCHER_SECRET"),
        ("proxy", "VF_PROXY_SECRET"),
    ):
        assert (gateway[variable], gateway[f"{variable}_ACCEPTED"]) == pair(name)
    assert (launcher["VF_LAUNCHER_SECRET"], launcher["VF_LAUNCHER_SECRET_ACCEPTED"]) == pair("launcher")
    assert launcher["VF_SANDBOX_SECRET"] == pair("sandbox")[0]
    assert proxy == {"VF_PROXY_SECRET": pair("proxy")[0]}
    assert stack.outputs["jwtSecret"] == pair("jwt")[0]


def test_a_finished_rotation_leaves_the_new_one_alone() -> None:
    files = run(program, {"secretVersions": "sandbox=2"}, answers=Versions()).files("gateway-0")
    assert files["VF_SANDBOX_SECRET"] == second("sandbox")
    assert not [name for name in files if name.endswith("_ACCEPTED")]


def test_a_signing_secret_of_the_stack_s_own_is_its_first_version() -> None:
    stack = run(program, {"secretVersions": "jwt=2+1"}, {"jwtSecret": "o" * 40}, answers=Versions())
    files = stack.files("gateway-0")
    assert (files["VF_JWT_SECRET"], files["VF_JWT_SECRET_ACCEPTED"]) == (second("jwt"), "o" * 40)
    assert stack.secret_outputs == {"jwtSecret", "credentialKey"}


def test_a_secret_that_is_no_longer_asked_for_is_kept_in_the_state() -> None:
    kind = SecretsType()
    _, first = kind.create(CONTEXT, {"names": ["jwt", "jwt_2"]})
    state = {"names": ["jwt", "jwt_2"], **plain(first)}
    fewer = plain(kind.update(CONTEXT, "x", {"names": ["jwt"]}, state))
    assert fewer == plain(first)
    again = plain(
        kind.update(CONTEXT, "x", {"names": ["jwt", "jwt_2", "jwt_3"]}, {"names": ["jwt"], **fewer})
    )
    assert {name: again[name] for name in ("jwt", "jwt_2")} == plain(first)
    assert len(set(again.values())) == 3
