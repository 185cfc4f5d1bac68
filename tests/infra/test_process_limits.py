"""The engine is told how many processes each container may have, again when it is another container."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import docker
import pytest

from infra.plugin.diff import diff
from infra.plugin.enginelog import EngineLog
from infra.plugin.resource import Context, PluginError
from infra.plugin.stack.limits import ProcessLimitsType


def no_engine() -> docker.APIClient:
    raise AssertionError("the type names its engine itself")


CONTEXT = Context(connect=no_engine, configured={}, urn="", log=EngineLog(""), cancelled=threading.Event())

PROPS: dict[str, Any] = {"containers": {"gateway-0": "aaa", "proxy": "bbb"}, "pids": 512, "dockerHost": ""}


class Engine:
    """A Docker engine's client, as far as the provider uses it."""

    def __init__(self, refusal: str = "") -> None:
        self.told: list[tuple[str, Any]] = []
        self.closed = False
        self._refusal = refusal
        self.api = SimpleNamespace(base_url="http+docker://here", api_version="1.41", post=self._post)

    def _post(self, url: str, json: Any, timeout: float) -> Any:
        self.told.append((url.removeprefix("http+docker://here/v1.41/containers/"), json))
        return SimpleNamespace(ok=not self._refusal, text=self._refusal)

    def close(self) -> None:
        """As the SDK's."""
        self.closed = True


def test_each_container_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    monkeypatch.setattr(docker, "from_env", lambda **_: engine)
    ProcessLimitsType().create(CONTEXT, PROPS)
    assert engine.told == [("aaa/update", {"PidsLimit": 512}), ("bbb/update", {"PidsLimit": 512})]
    assert engine.closed


def test_another_container_or_number_is_a_change_and_the_same_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traits = ProcessLimitsType.traits
    assert not diff(traits, PROPS, dict(PROPS)).diffs
    replaced = {**PROPS, "containers": {"gateway-0": "ccc", "proxy": "bbb"}}
    for news in (replaced, {**PROPS, "pids": 600}):
        assert len(diff(traits, PROPS, news).diffs) == 1
        assert not diff(traits, PROPS, news).replaces
    engine = Engine()
    monkeypatch.setattr(docker, "from_env", lambda **_: engine)
    ProcessLimitsType().update(CONTEXT, "x", replaced, PROPS)
    assert ("ccc/update", {"PidsLimit": 512}) in engine.told


def test_a_refusal_names_the_part_and_the_engine_s_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine('{"message":"no such container"}')
    monkeypatch.setattr(docker, "from_env", lambda **_: engine)
    with pytest.raises(PluginError, match=r"does not limit the processes of gateway-0: .*no such container"):
        ProcessLimitsType().create(CONTEXT, PROPS)
    assert engine.closed
