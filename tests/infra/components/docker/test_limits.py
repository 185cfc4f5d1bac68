"""The engine is told how many processes each container may have, again when it is another container."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import docker
import pytest

from infra.components.docker.limits import process_limits_provider

PROPS = {"containers": {"gateway-0": "aaa", "proxy": "bbb"}, "pids": 512, "dockerHost": ""}


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
    process_limits_provider().create(PROPS)
    assert engine.told == [("aaa/update", {"PidsLimit": 512}), ("bbb/update", {"PidsLimit": 512})]
    assert engine.closed


def test_another_container_or_number_is_a_change_and_the_same_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = process_limits_provider()
    assert not provider.diff("x", PROPS | {"__provider": "p"}, dict(PROPS)).changes
    replaced = {**PROPS, "containers": {"gateway-0": "ccc", "proxy": "bbb"}}
    assert provider.diff("x", PROPS, replaced).changes
    assert provider.diff("x", PROPS, {**PROPS, "pids": 600}).changes
    engine = Engine()
    monkeypatch.setattr(docker, "from_env", lambda **_: engine)
    provider.update("x", PROPS, replaced)
    assert ("ccc/update", {"PidsLimit": 512}) in engine.told


def test_a_refusal_names_the_part_and_the_engine_s_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine('{"message":"no such container"}')
    monkeypatch.setattr(docker, "from_env", lambda **_: engine)
    with pytest.raises(RuntimeError, match=r"does not limit the processes of gateway-0: .*no such container"):
        process_limits_provider().create(PROPS)
    assert engine.closed
