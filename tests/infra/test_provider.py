"""How the stand-in plugin reaches the engine that a stack names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import docker
import pytest

from infra.plugin.enginelog import EngineLog
from infra.plugin.provider import DockerProvider


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the SDK's client is made with."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(docker, "APIClient", lambda **given: found.update(given))
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    return found


def test_an_engine_elsewhere_is_reached_with_the_variables_for_tls(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    provider = DockerProvider(EngineLog(""))
    provider._host = "tcp://there:2376"
    provider._context("urn")
    assert asked["base_url"] == "tcp://there:2376"
    assert asked["tls"].ca_cert == str(tmp_path / "ca.pem")


def test_an_engine_of_the_environment_is_reached_by_ssh_as_well(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@there")
    DockerProvider(EngineLog(""))._context("urn")
    assert (asked["base_url"], asked["use_ssh_client"]) == ("ssh://me@there", True)
