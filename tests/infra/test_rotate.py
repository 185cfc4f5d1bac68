"""Which versions of the stack's secrets are deployed one after another, and what the parts are told of them."""

from __future__ import annotations

import threading
from typing import Any

import docker
import pytest

from infra.cli.errors import CliError
from infra.cli.rotate import steps
from infra.generated import NAMES, read_versions, write_versions
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
    assert list(steps({}, "sandbox", finish=False)) == ["sandbox=1+2", "sandbox=2+1"]
    assert list(steps({"secretVersions": "jwt=4"}, "jwt", finish=False)) == ["jwt=4+5", "jwt=5+4"]
    others = {"secretVersions": "sandbox=2+1"}
    assert list(steps(others, "jwt", finish=False)) == ["jwt=1+2, sandbox=2+1", "jwt=2+1, sandbox=2+1"]


def test_an_interrupted_rotation_goes_on() -> None:
    assert list(steps({"secretVersions": "jwt=1+2"}, "jwt", finish=False)) == ["jwt=2+1"]


def test_the_old_one_is_dropped_by_finish_alone_and_before_another_is_begun() -> None:
    assert list(steps({"secretVersions": "jwt=2+1"}, "jwt", finish=True)) == ["jwt=2"]
    with pytest.raises(CliError, match=r"^jwt: it is rotated already.*--finish first"):
        list(steps({"secretVersions": "jwt=2+1"}, "jwt", finish=False))
    for told in ("", "jwt=2", "jwt=1+2"):
        with pytest.raises(CliError, match=r"^jwt: there is no old one to drop"):
            list(steps({"secretVersions": told}, "jwt", finish=True))


def test_what_a_target_has_not_is_not_rotated() -> None:
    for name in ("launcher", "proxy"):
        with pytest.raises(CliError, match=f"^{name}: a stack on AWS has no such secret"):
            list(steps({"target": "aws"}, name, finish=False))


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
