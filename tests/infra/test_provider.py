"""How a plugin reaches the engine that a stack names, answers the program, and tells what is otherwise than it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import docker
import pytest
from google.protobuf import json_format
from pulumi.runtime.proto import provider_pb2

from infra.plugin.enginelog import EngineLog
from infra.plugin.package import Package
from infra.plugin.properties import Properties, secret
from infra.plugin.provider import Provider
from infra.plugin.resource import Context, PluginError, Traits
from infra.plugin.stack.stateonly import StateOnly
from infra.plugin.standin import STAND_IN
from tests.infra.plugin_client import struct

KIND = "thing:index:Thing"
URN = f"urn:pulumi:test::vaporforge::{KIND}::one"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the SDK's client is made with."""
    found: dict[str, Any] = {}

    def made(**given: Any) -> dict[str, Any]:
        found.update(given)
        return found

    monkeypatch.setattr(docker, "APIClient", made)
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    return found


def test_an_engine_elsewhere_is_reached_with_the_variables_for_tls(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    provider = Provider(STAND_IN, EngineLog(""))
    provider.Configure(provider_pb2.ConfigureRequest(args=struct({"host": "tcp://there:2376"})), None)
    assert provider._context("urn").api is not None
    assert asked["base_url"] == "tcp://there:2376"
    assert asked["tls"].ca_cert == str(tmp_path / "ca.pem")


def test_an_engine_of_the_environment_is_reached_by_ssh_as_well(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@there")
    assert Provider(STAND_IN, EngineLog(""))._context("urn").api is not None
    assert (asked["base_url"], asked["use_ssh_client"]) == ("ssh://me@there", True)


class _Told(StateOnly):
    """Of a service that has another `size` than it was told."""

    traits = Traits(inputs=frozenset({"label", "size", "key"}), auto_named=True, named="label", tells=True)

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties:
        return {**inputs, "size": 7, "arn": "arn:of:it"}

    def delete(self, context: Context, resource_id: str, state: Properties) -> None: ...


def _where(context: Context, asked: Properties) -> Properties:
    if asked["what"] != "zone":
        raise PluginError(f"there is no {asked['what']}")
    return {"zone": f"{context.configured['region']}a"}


@pytest.fixture
def provider() -> Provider:
    package = Package(
        name="thing",
        version="1.0.0",
        types={KIND: _Told()},
        who="the plugin of this test",
        remedy="ask for less",
        configured=frozenset({"region"}),
        functions={"thing:index:where": _where},
    )
    provider = Provider(package, EngineLog(""))
    provider.Configure(provider_pb2.ConfigureRequest(args=struct({"region": "here"})), None)
    return provider


def test_what_a_service_has_otherwise_is_told_and_a_secret_stays_one(provider: Provider) -> None:
    given = {"label": "a", "size": 5, "key": secret("of somebody")}
    request = provider_pb2.ReadRequest(id="1", urn=URN, inputs=struct(given), properties=struct(given))
    told = provider.Read(request, None)
    assert json_format.MessageToDict(told.inputs) == {**given, "size": 7}
    assert json_format.MessageToDict(told.properties)["arn"] == "arn:of:it"


def test_a_name_is_drawn_for_the_input_that_is_one(provider: Provider) -> None:
    request = provider_pb2.CheckRequest(urn=URN, news=struct({"size": 5}), randomSeed=b"seed")
    inputs = json_format.MessageToDict(provider.Check(request, None).inputs)
    assert inputs["label"].startswith("one-")
    assert inputs.keys() == {"label", "size", "__defaults"}


class _Aborted(Exception):
    """What gRPC raises when a call is ended with an error."""


class _Call:
    def abort(self, _code: object, message: str) -> None:
        raise _Aborted(message)


def test_a_question_of_the_program_is_answered_or_refused_with_a_sentence(provider: Provider) -> None:
    def ask(token: str, what: str) -> Any:
        request = provider_pb2.InvokeRequest(tok=token, args=struct({"what": what}))
        return json_format.MessageToDict(getattr(provider.Invoke(request, _Call()), "return"))

    assert ask("thing:index:where", "zone") == {"zone": "herea"}
    with pytest.raises(_Aborted, match="there is no moon"):
        ask("thing:index:where", "moon")
    with pytest.raises(_Aborted, match="does not know the function thing:index:why; ask for less"):
        ask("thing:index:why", "zone")
