"""By which proxy the model's API is asked: the stack's, the environment's, none."""

from __future__ import annotations

from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from gateway.broker.way import way_to_model
from tests.conftest import settings_for

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("url", "proxy", "exempt", "way"),
    [
        ("https://api.anthropic.com", "", "", (None, True)),
        ("https://api.anthropic.com", PROXY, "", (PROXY, False)),
        ("https://api.anthropic.com", PROXY, ".corp, api.anthropic.com", (None, False)),
        ("https://model.corp:8443", PROXY, ".corp", (None, False)),
        ("http://127.0.0.1:9000", PROXY, "", (None, False)),
        ("http://[::1]:9000", "", "", (None, False)),
        ("http://localhost:9000", "", "", (None, False)),
    ],
)
def test_the_way(url: str, proxy: str, exempt: str, way: tuple[str | None, bool]) -> None:
    settings = replace(settings_for("", "t"), model_api_url=url, http_proxy=proxy, no_proxy=exempt)
    assert way_to_model(settings) == {"proxy": way[0], "trust_env": way[1]}


@pytest.mark.parametrize("local", [True, False])
async def test_requests_take_it(local: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.raw_path)
        return web.Response()

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    url = here if local else "http://model.example"
    settings = replace(settings_for("", "t"), model_api_url=url, http_proxy="" if local else here)
    try:
        async with aiohttp.ClientSession(**way_to_model(settings)) as client, client.get(f"{url}/v1") as told:
            assert told.status == 200
    finally:
        await runner.cleanup()
    # A proxy is asked for the whole address.
    assert asked == ["/v1" if local else "http://model.example/v1"]
