"""A gateway under a path: the route table holds there as at the root, the relay and the rules of the API included."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest

from gateway.errors import BadRequest
from gateway.web.request.auth import mint
from tests.gateway.stack import SECRET, assert_whole, read_all

if TYPE_CHECKING:
    from tests.gateway.stack import Stack


@pytest.mark.parametrize("prefix", ["", "/a/forge"])
async def test_all_is_found_under_the_path_and_at_the_root(stack: Stack, prefix: str) -> None:
    gateway = await stack.start(replace(stack.settings, base_path="/a/forge"))
    url, headers = gateway.url + prefix, stack.headers()
    async with stack.http.get(f"{url}/") as response:
        assert "<title>VaporForge</title>" in await response.text()
    async with stack.http.get(f"{url}/api/version") as response:
        assert response.headers["Cache-Control"] == "no-store"
    async with stack.http.get(f"{url}/api/nothing", headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (404, "not-found")
    async with stack.http.post(f"{url}/api/sessions", json={}, headers=headers) as response:
        session = (await response.json())["id"]
    query = {"sessionId": session, "prompt": "Echo here", "token": mint("ada", 60, secret=SECRET)}
    async with stack.http.ws_connect(f"{url}/api/sdk/ws", params=query) as socket:
        assert_whole(await read_all(socket))
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await stack.http.ws_connect(f"{url}/mcp/relay", headers=headers)
    assert refused.value.status == BadRequest.status


async def test_the_path_itself_leads_to_its_folder(stack: Stack) -> None:
    gateway = await stack.start(replace(stack.settings, base_path="/forge"))
    async with stack.http.get(f"{gateway.url}/forge", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (308, "forge/")
    async with stack.http.get(f"{gateway.url}/forge") as response:
        assert response.url.path == "/forge/"
