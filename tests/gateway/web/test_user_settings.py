"""A user's settings: MCP servers of known shapes, and a credential that goes in and never comes out."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.broker.credentials import credential_of, servers_of
from gateway.errors import BadRequest
from gateway.web.request.app_keys import STORE
from gateway.web.user_settings import MASK, MAX_SERVERS, MAX_SERVERS_BYTES, check_servers, mask, unmask
from tests.gateway.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "sk-ant-api03-secret"
SERVERS: dict[str, Any] = {
    "files": {"command": "npx", "args": ["-y", "server"], "env": {"A": "env-token"}},
    "stdio": {"type": "stdio", "command": "server"},
    "docs": {
        "type": "http",
        "url": "https://docs.example/mcp",
        "headers": {"Authorization": "Bearer header-token"},
    },
    "events": {"type": "sse", "url": "http://events.example/sse"},
    "browser": {"type": "relay"},
}
MASKED: dict[str, Any] = {
    **SERVERS,
    "files": {**SERVERS["files"], "env": {"A": MASK}},
    "docs": {**SERVERS["docs"], "headers": {"Authorization": MASK}},
}


async def put(stack: Stack, body: Any, user: str = "ada") -> tuple[int, Any]:
    async with stack.http.put(
        f"{stack.url}/api/settings", json=body, headers=stack.headers(user)
    ) as response:
        return response.status, await response.json()


class TestRoute:
    async def test_nothing_is_set_at_first(self, stack: Stack) -> None:
        assert await stack.get("/api/settings") == {"mcpServers": {}, "credential": {"set": False}}

    async def test_what_is_put_is_got_but_for_secrets(self, stack: Stack) -> None:
        expected = {"mcpServers": MASKED, "credential": {"set": True}}
        assert await put(stack, {"mcpServers": SERVERS, "credential": KEY}) == (200, expected)
        assert await stack.get("/api/settings") == expected
        assert await stack.get("/api/settings", user="eve") == {
            "mcpServers": {},
            "credential": {"set": False},
        }

    async def test_what_is_absent_stays(self, stack: Stack) -> None:
        await put(stack, {"credential": KEY})
        await put(stack, {"mcpServers": SERVERS})
        assert await put(stack, {}) == (200, {"mcpServers": MASKED, "credential": {"set": True}})
        assert await put(stack, {"mcpServers": {}}) == (200, {"mcpServers": {}, "credential": {"set": True}})
        assert await put(stack, {"credential": None}) == (
            200,
            {"mcpServers": {}, "credential": {"set": False}},
        )

    async def test_secrets_are_encrypted_at_rest(
        self, stack: Stack, scan: Callable[[], list[dict[str, Any]]]
    ) -> None:
        await put(stack, {"credential": KEY, "mcpServers": SERVERS})
        table = json.dumps(await asyncio.to_thread(scan), default=str)
        assert not [secret for secret in (KEY, "env-token", "header-token") if secret in table]
        store = stack.gateways[0].app[STORE]
        assert await credential_of(store, stack.settings, "ada") == KEY
        assert await credential_of(store, stack.settings, "eve") is None
        kept = await store.get_settings("ada")
        assert servers_of(await stack.gateways[0].app[STORE].credential_keys(), "ada", kept) == SERVERS

    async def test_a_mask_sent_back_keeps_the_value(self, stack: Stack) -> None:
        await put(stack, {"mcpServers": SERVERS})
        edited = json.loads(json.dumps(MASKED))
        edited["docs"]["url"] = "https://docs.example/mcp/v2"
        edited["files"]["env"]["NEW"] = "another"
        assert (await put(stack, {"mcpServers": edited}))[0] == 200
        kept = await stack.gateways[0].app[STORE].get_settings("ada")
        servers = servers_of(await stack.gateways[0].app[STORE].credential_keys(), "ada", kept)
        assert servers["docs"] == {**SERVERS["docs"], "url": "https://docs.example/mcp/v2"}
        assert servers["files"]["env"] == {"A": "env-token", "NEW": "another"}

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"credential": ""}, "credential"),
            ({"credential": "   "}, "credential"),
            ({"credential": 7}, "credential"),
            ({"credential": "two words"}, "credential"),
            ({"credential": "line\nend"}, "credential"),
            ({"credential": "schlüssel"}, "credential"),
            ({"credential": "x" * 4097}, "credential"),
            ({"mcpServers": None}, "mcpServers"),
            ({"mcpServers": {"a": {"command": 7}}, "credential": KEY}, "mcpServers.a.command"),
            ({"mcpServers": {"a": {"command": "x", "env": {"A": MASK}}}}, "mcpServers.a.env.A"),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_a_bad_part_changes_nothing(
        self, stack: Stack, scan: Callable[[], list[dict[str, Any]]], body: Any, field: str
    ) -> None:
        before = await asyncio.to_thread(scan)
        status, answer = await put(stack, body)
        assert (status, answer["code"], answer["field"]) == (400, "bad-request", field)
        assert KEY not in answer["error"]
        assert await asyncio.to_thread(scan) == before


class TestServers:
    def test_known_shapes_pass_unchanged(self) -> None:
        assert check_servers(SERVERS) == SERVERS

    @pytest.mark.parametrize(
        ("servers", "field"),
        [
            ([], "mcpServers"),
            ("x", "mcpServers"),
            ({"bad name": {"command": "x"}}, "mcpServers"),
            ({"": {"command": "x"}}, "mcpServers"),
            ({"a": "x"}, "mcpServers.a"),
            ({"a": {}}, "mcpServers.a.type"),
            ({"a": {"type": "magic"}}, "mcpServers.a.type"),
            ({"a": {"type": ["stdio"]}}, "mcpServers.a.type"),
            ({"a": {"type": "stdio"}}, "mcpServers.a.command"),
            ({"a": {"command": ""}}, "mcpServers.a.command"),
            ({"a": {"command": "x", "shell": True}}, "mcpServers.a"),
            ({"a": {"command": "x", "args": "y"}}, "mcpServers.a.args"),
            ({"a": {"command": "x", "args": [1]}}, "mcpServers.a.args"),
            ({"a": {"command": "x", "args": ["y"] * 129}}, "mcpServers.a.args"),
            ({"a": {"command": "x", "env": ["y"]}}, "mcpServers.a.env"),
            ({"a": {"command": "x", "env": {"A": 1}}}, "mcpServers.a.env"),
            ({"a": {"type": "http"}}, "mcpServers.a.url"),
            ({"a": {"type": "http", "url": "ftp://x.example"}}, "mcpServers.a.url"),
            ({"a": {"type": "sse", "url": "https://"}}, "mcpServers.a.url"),
            ({"a": {"type": "sse", "url": "http://[x"}}, "mcpServers.a.url"),
            (
                {"a": {"type": "http", "url": "https://x.example", "headers": {"A": None}}},
                "mcpServers.a.headers",
            ),
            ({"a": {"type": "http", "url": "https://x.example", "command": "x"}}, "mcpServers.a"),
            ({"a": {"type": "relay", "url": "https://x.example"}}, "mcpServers.a"),
            ({f"s{n}": {"command": "x"} for n in range(MAX_SERVERS + 1)}, "mcpServers"),
            ({f"s{n}": {"command": "x" * 8000} for n in range(MAX_SERVERS_BYTES // 8000 + 1)}, "mcpServers"),
        ],
        ids=lambda value: str(value)[:60],
    )
    def test_the_bad_part_is_named(self, servers: Any, field: str) -> None:
        with pytest.raises(BadRequest) as caught:
            check_servers(servers)
        assert caught.value.field == field


class TestMask:
    def test_a_masked_copy_is_unmasked_to_the_same_and_nothing_else_is_touched(self) -> None:
        assert mask(SERVERS) == MASKED
        assert unmask(MASKED, SERVERS) == SERVERS
        assert unmask(SERVERS, {}) == SERVERS

    @pytest.mark.parametrize(
        "servers",
        [
            {"other": MASKED["docs"]},
            {"docs": {**SERVERS["docs"], "headers": {"Cookie": MASK}}},
            {"browser": {"command": "x", "env": {"A": MASK}}},
        ],
        ids=["another server", "another header", "another kind"],
    )
    def test_a_mask_of_nothing_is_refused(self, servers: Any) -> None:
        with pytest.raises(BadRequest, match="masked"):
            unmask(servers, SERVERS)

    def test_what_masks_stand_for_counts(self) -> None:
        kept = {"a": {"command": "x", "env": {str(n): "x" * 8000 for n in range(8)}}}
        with pytest.raises(BadRequest, match="at most"):
            unmask({**mask(kept), "b": {"command": "x" * 8000}}, kept)


async def test_git_hosts_are_kept_encrypted_and_shown_without_their_tokens(
    dynamodb_endpoint: str, tmp_path: Path
) -> None:
    async with Stack(dynamodb_endpoint, "git", tmp_path, git_hosts=("github.com",)) as stack:
        nothing = {"hosts": {}, "known": ["github.com"]}
        assert (await stack.get("/api/settings"))["git"] == nothing
        status, told = await put(stack, {"git": {"hosts": {"github.com": {"token": "ghp_secret"}}}})
        assert (status, told["git"]["hosts"]) == (200, {"github.com": {"token": MASK}})
        kept = await stack.gateways[0].app[STORE].get_settings("ada")
        assert "ghp_secret" not in json.dumps(kept)
        assert (await put(stack, {"credential": KEY}))[1]["git"]["hosts"] == {"github.com": {"token": MASK}}
        status, told = await put(stack, {"git": {"hosts": {"evil.example": {}}}})
        assert (status, told["field"]) == (400, "git.hosts.evil.example")
        assert (await put(stack, {"git": {"hosts": {}}}))[1]["git"] == nothing
        assert "git" not in await stack.gateways[0].app[STORE].get_settings("ada")
