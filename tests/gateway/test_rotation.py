"""While a secret is rotated two are taken, and what is made is made with the current one alone."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from container.protocol import sandbox_token
from gateway.config import ConfigError, read_settings
from gateway.errors import BadRequest, Unauthorized
from gateway.launcher.app import build_launcher
from gateway.launcher.settings import read_launcher_settings
from gateway.model import Mode, NewRun
from gateway.runs.recording.seal import admitted_prompt, sealed
from gateway.sandboxes.drivers import Sandbox, SandboxState
from gateway.sandboxes.drivers.ready import ping
from gateway.sandboxes.tokens import SandboxTokens
from gateway.web.request.app_keys import SETTINGS
from gateway.web.request.auth import Authenticator, mint
from gateway.web.request.clients import PROXY_HEADER, client_of
from tests.gateway.fakes import quick_settings
from tests.gateway.launcher.test_launcher import ENVIRON as LAUNCHER
from tests.gateway.test_config import GOOD

OLD, NEW, OTHER = "o" * 48, "n" * 48, "x" * 48

NEVER: Any = None
"""A store, or an engine, that is not asked."""


@pytest.mark.parametrize(("current", "accepted"), [(OLD, NEW), (NEW, OLD)])
def test_users_tokens_of_both_let_in(current: str, accepted: str) -> None:
    settings = replace(quick_settings(), jwt_secret=current, jwt_secret_accepted=accepted)
    authenticator = Authenticator(settings, NEVER)
    for secret in (OLD, NEW):
        assert authenticator.verify(mint("ada", 600, secret=secret)).user == "ada"
        with pytest.raises(Unauthorized, match="has expired"):
            authenticator.verify(mint("ada", -600, secret=secret))
    with pytest.raises(Unauthorized, match="signature is not ours"):
        authenticator.verify(mint("ada", 600, secret=OTHER))
    finished = Authenticator(replace(settings, jwt_secret_accepted=""), NEVER)
    with pytest.raises(Unauthorized, match="signature is not ours"):
        finished.verify(mint("ada", 600, secret=accepted))


async def test_the_launcher_takes_both() -> None:
    settings = replace(read_launcher_settings(LAUNCHER), launcher_secret=NEW, launcher_secret_accepted=OLD)
    app = build_launcher(settings, NEVER)
    app.cleanup_ctx.clear()
    async with TestClient(TestServer(app)) as client:
        told = {}
        for secret in (OLD, NEW, OTHER, ""):
            headers = {"Authorization": f"Bearer {secret}"}
            async with client.get("/fingerprint", headers=headers) as answer:
                told[secret] = answer.status
    assert told == {OLD: 200, NEW: 200, OTHER: 401, "": 401}


def test_the_proxy_is_believed_with_both() -> None:
    app = web.Application()
    app[SETTINGS] = replace(quick_settings(), proxy_secret=NEW, proxy_secret_accepted=OLD)
    for secret, believed in ((OLD, True), (NEW, True), (OTHER, False), ("", False)):
        headers = {PROXY_HEADER: secret, "X-Forwarded-For": "192.0.2.7"}
        request = make_mocked_request("GET", "/", headers=headers, app=app)
        assert (client_of(request) == "192.0.2.7") is believed, secret


async def test_a_seal_of_both_is_a_seal() -> None:
    new = NewRun(
        id="r1",
        session="s1",
        owner="ada",
        message="m1",
        prompt="hello",
        mode=Mode.AGENT,
        cwd="",
        created_at=time.time(),
    )
    base = replace(quick_settings(), driver="process", sandbox_secret_accepted="")
    both = replace(base, sandbox_secret=NEW, sandbox_secret_accepted=OLD)
    for secret in (OLD, NEW):
        run: Any = sealed(replace(base, sandbox_secret=secret), new)
        assert await admitted_prompt(both, NEVER, run, "hello") == "hello"
    assert sealed(both, new) == sealed(replace(base, sandbox_secret=NEW), new)
    other: Any = sealed(replace(base, sandbox_secret=OTHER), new)
    with pytest.raises(BadRequest):
        await admitted_prompt(both, NEVER, other, "hello")


class AgentServer:
    """`/ping` of a sandbox that was started with one secret; it counts who asked in vain."""

    def __init__(self, secret: str) -> None:
        self.refused = 0
        self._token = sandbox_token(secret.encode(), "s1")

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            self.refused += 1
            return web.Response(status=401)
        return web.json_response({"session": "s1"})


@asynccontextmanager
async def serving(server: AgentServer) -> AsyncIterator[tuple[aiohttp.ClientSession, Sandbox]]:
    app = web.Application()
    app.router.add_get("/ping", server.answer)
    async with TestServer(app) as test, aiohttp.ClientSession() as client:
        yield (
            client,
            Sandbox(session="s1", state=SandboxState.RUNNING, host="127.0.0.1", port=test.port or 0),
        )


@pytest.mark.parametrize("started_with", [OLD, NEW])
async def test_a_sandbox_is_told_the_token_that_it_was_started_with(started_with: str) -> None:
    server = AgentServer(started_with)
    async with serving(server) as (client, sandbox):
        tokens = SandboxTokens(client, NEW, OLD)
        for _ in range(5):
            assert await tokens.of(sandbox) == sandbox_token(started_with.encode(), "s1")
        assert server.refused == (started_with == OLD)
        assert await ping(client, sandbox, secret=NEW, accepted=OLD) == {"session": "s1"}


async def test_one_that_answers_neither_is_told_the_current_one_and_asked_again() -> None:
    server = AgentServer(OTHER)
    async with serving(server) as (client, sandbox):
        tokens = SandboxTokens(client, NEW, OLD)
        for _ in range(2):
            assert await tokens.of(sandbox) == sandbox_token(NEW.encode(), "s1")
        assert server.refused == 4
        assert await ping(client, sandbox, secret=NEW, accepted=OLD) is None


async def test_without_a_second_secret_nobody_is_asked() -> None:
    tokens = SandboxTokens(NEVER, NEW)
    sandbox = Sandbox(session="s1", state=SandboxState.RUNNING, host="127.0.0.1", port=1)
    assert await tokens.of(sandbox) == sandbox_token(NEW.encode(), "s1")


@pytest.mark.parametrize("name", ["VF_JWT_SECRET", "VF_SANDBOX_SECRET", "VF_CREDENTIAL_KEY"])
def test_a_second_secret_that_is_short_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}_ACCEPTED has 5 bytes; it needs at least 32"):
        read_settings({**GOOD, f"{name}_ACCEPTED": "short"})
