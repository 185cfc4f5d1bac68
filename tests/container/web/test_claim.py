"""A sandbox of the pool: nobody's and closed until a session claims it, once; then that session's alone."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from container.claim import claim_proof, make_claim, open_claim
from container.protocol import server_proof
from container.web import handlers
from tests.container.conftest import TOKEN, Sandbox, Start, eventually, text
from tests.container.web.test_app import ROUTES

MEMBER = "pool-1"
CLAIM = make_claim(TOKEN, "session-2", "its-token", "00" * 16)


@pytest.fixture
async def member(start: Start) -> Sandbox:
    """A sandbox of the pool."""
    return await start(VF_SESSION=MEMBER)


async def send(sandbox: Sandbox, claim: str, scheme: str = "Claim") -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"{scheme} {claim}"}
    async with aiohttp.request("POST", sandbox.server.make_url("/claim"), headers=headers) as response:
        return response.status, await response.json()


async def proved(sandbox: Sandbox) -> str:
    """Which token it shows to know."""
    url = sandbox.server.make_url("/proof").with_query(nonce="00" * 16)
    async with aiohttp.request("GET", url) as response:
        said = await response.text()
    assert url.host
    assert url.port
    [token] = [
        one for one in (TOKEN, "its-token") if server_proof(one, "00" * 16, url.host, url.port) == said
    ]
    return token


async def ping(sandbox: Sandbox, token: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.request("GET", sandbox.server.make_url("/ping"), headers=headers) as response:
        answer: dict[str, Any] = await response.json()
        return answer


def test_a_claim_tells_whoever_else_gets_it_nothing() -> None:
    assert open_claim(TOKEN, CLAIM) == ("session-2", "its-token", "")
    assert open_claim("another-token", CLAIM) is None
    assert "its-token" not in CLAIM
    assert b"its-token".hex() not in CLAIM
    assert TOKEN not in CLAIM
    assert claim_proof("another-token", CLAIM) != claim_proof(TOKEN, CLAIM)


@pytest.mark.parametrize(
    "spoilt",
    [
        "",
        "é",
        "vfc1.s",
        CLAIM[:-1],
        f"{CLAIM}\udcff",  # a byte of a header that is no UTF-8
        CLAIM.replace("session-2", "session-3"),
        CLAIM.replace("vfc1", "vfc2"),
    ],
)
def test_a_spoilt_claim_is_none(spoilt: str) -> None:
    assert open_claim(TOKEN, spoilt) is None


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_in_the_pool_nothing_is_open_to_anybody(member: Sandbox, method: str, path: str) -> None:
    async with member.http.request(method, path) as response:
        assert response.status == 401


async def test_in_the_pool_no_agent_runs(member: Sandbox) -> None:
    told = await ping(member, TOKEN)
    assert await proved(member) == TOKEN
    assert (told["session"], told["agent"], told["fresh"]) == (MEMBER, "down", True)


async def test_a_claim_makes_it_the_sessions_and_its_start_token_dies(member: Sandbox) -> None:
    status, body = await send(member, CLAIM)
    assert (status, body) == (
        200,
        {"session": "session-2", "proof": claim_proof(TOKEN, CLAIM), "fresh": True, "lostReason": ""},
    )
    assert "session" not in await ping(member, TOKEN)
    assert await proved(member) == "its-token"
    async with member.http.get("/files/x") as response:
        assert response.status == 401
    assert (await ping(member, "its-token"))["session"] == "session-2"


async def test_its_agent_has_the_sessions_token_and_no_other(member: Sandbox) -> None:
    assert (await send(member, CLAIM))[0] == 200
    member.http.headers["Authorization"] = "Bearer its-token"
    await eventually(lambda: member.agent.state == "ready")
    for name, value in (
        ("ANTHROPIC_API_KEY", "its-token"),
        ("VF_SESSION", "session-2"),
    ):
        said = text(await member.ask(f"run-{name}", f"say(os.environ['{name}'][::-1])"))
        assert said[::-1] == value, name  # as it is a token would be struck
    assert text(await member.ask("run-1", "say(str('VF_SANDBOX_TOKEN' in os.environ))")) == "False"


async def test_behind_a_claim_an_agent_is_started_for_a_query_alone(
    member: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "CLAIMED_SECONDS", 3600.0)
    assert (await send(member, CLAIM))[0] == 200
    assert (await ping(member, "its-token"))["agent"] == "down"
    member.http.headers["Authorization"] = "Bearer its-token"
    assert text(await member.ask("run-1", "say('at once')")) == "at once"


async def test_the_same_claim_again_changes_nothing_and_another_is_refused(member: Sandbox) -> None:
    assert (await send(member, CLAIM))[0] == 200
    again = make_claim(TOKEN, "session-2", "its-token", "11" * 16)
    assert (await send(member, again))[1]["proof"] == claim_proof(TOKEN, again)
    for session, token in (("session-3", "its-token"), ("session-2", "another")):
        status, body = await send(member, make_claim(TOKEN, session, token, "22" * 16))
        assert (status, body["code"]) == (409, "conflict")
    assert (await ping(member, "its-token"))["session"] == "session-2"


async def test_a_claim_tells_why_the_sandbox_before_it_ended(member: Sandbox) -> None:
    status, body = await send(member, make_claim(TOKEN, "session-2", "its-token", "00" * 16, "spot"))
    assert (status, body["lostReason"]) == (200, "spot")
    assert (await ping(member, "its-token"))["lostReason"] == "spot"


async def test_only_the_start_token_claims(member: Sandbox) -> None:
    assert (await send(member, make_claim("another", "session-2", "its-token", "00" * 16)))[0] == 401
    assert (await send(member, CLAIM, scheme="Bearer"))[0] == 401
    assert (await send(member, CLAIM))[0] == 200
    # The session's own token, which its agent knows, makes no claim of its own.
    assert (await send(member, make_claim("its-token", "session-3", "x", "00" * 16)))[0] == 401


async def test_a_sessions_own_sandbox_takes_no_claim(sandbox: Sandbox) -> None:
    assert (await send(sandbox, CLAIM))[0] == 404
    assert (await sandbox.ping())["session"] == "session-1"
