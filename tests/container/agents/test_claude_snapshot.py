"""The claude agent after its host is gone: the real SDK resumes its session from a restored snapshot."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from tests import fake_model_api
from tests.container.conftest import Start, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
async def model(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestServer]:
    """A model's API, and the environment that leads the agent to it."""
    server = TestServer(fake_model_api.build_app())
    await server.start_server()
    monkeypatch.setenv("ANTHROPIC_BASE_URL", str(server.make_url("/")).rstrip("/"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "right-key")
    yield server
    await server.close()


async def test_it_resumes_its_session_from_a_snapshot(
    start: Start, model: TestServer, tmp_path: Path
) -> None:
    before = await start("claude")
    await eventually(lambda: before.agent.state == "ready", 120)
    first = await before.ask("r1", "the password is xyzzy")
    session = next(frame["sessionId"] for frame in first if frame["type"] == "done")
    await eventually(lambda: before.ping_connections() == 0)  # only an idle sandbox gives one
    async with before.http.get("/snapshot") as response:
        assert response.status == 200
        content = await response.read()
    await before.http.close()
    await before.server.close()
    for name in ("workspace", "home", "pending"):
        shutil.rmtree(tmp_path / name)
    after = await start("claude")
    await eventually(lambda: after.agent.state == "ready", 120)  # connected, to a session of nobody's
    async with after.http.put("/snapshot", data=content, expect100=True) as response:
        assert response.status == 200, await response.text()
    frames = await after.ask("r2", "what is the password?", sdkSessionId=session)
    types = [frame["type"] for frame in frames]
    assert "session-reset" not in types
    assert next(frame["sessionId"] for frame in frames if frame["type"] == "done") == session
    asked = model.app[fake_model_api.REQUESTS][-1]
    assert "xyzzy" in str(asked["messages"])
