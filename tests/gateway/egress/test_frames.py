"""A host that is blocked, as a run, its history, the session's owner and the next connection see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest

from gateway.egress.listener import EgressProxy
from gateway.egress.policy import MOST_ALLOWED
from gateway.ids import new_id
from gateway.sandboxes.blocked import tell_blocked
from gateway.web.request.app_keys import AUDIT, DRIVER, STATS, STORE
from tests.gateway.egress.bench import Bench, holder
from tests.gateway.stack import Stack, assert_whole, read_all, read_until

HOST = "ci.example.com"


class Reached(Bench):
    """The proxy of a whole gateway, told and asked as `serve` has it."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack = stack

    async def __aenter__(self) -> Self:
        gateway = self.stack.gateways[0]
        await super().__aenter__()
        await self.proxy.close(0.1)
        app, runs = gateway.app, gateway.runs

        async def tell(session: str, host: str, why: str, may: bool) -> None:
            await tell_blocked(app[DRIVER], runs.agent, session, host, why, may_allow=may)

        self.proxy = EgressProxy(
            self.settings, app[STORE], runs.quotas, tell, app[STATS].egress, holder=holder
        )
        self.port = await self.proxy.start("127.0.0.1", 0)
        return self


@pytest.fixture
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(
        dynamodb_endpoint, f"t-{new_id()}", tmp_path, egress="registries", egress_proxy="127.0.0.1:1"
    ) as made:
        yield made


async def allow(stack: Stack, session: str, host: Any = HOST, user: str = "ada") -> tuple[int, Any]:
    return await stack.post(f"/api/sessions/{session}/egress", {"host": host}, user)


async def take_back(stack: Stack, session: str, host: str = HOST, user: str = "ada") -> tuple[int, Any]:
    url = f"{stack.url}/api/sessions/{session}/egress/{host}"
    async with stack.http.delete(url, headers=stack.headers(user)) as response:
        return response.status, await response.json()


async def test_a_blocked_host_is_a_frame_of_the_run_once_and_in_its_history(stack: Stack) -> None:
    session = await stack.session()
    async with Reached(stack) as reached, stack.connect(session, prompt="count to 300 every 10 ms") as socket:
        frames = await read_until(socket, "text-delta")
        for _ in range(2):
            status, _, _ = await reached.ask(f"CONNECT {HOST}:443", session=session)
            assert status == 403
        frames += await read_all(socket)
    assert_whole(frames)
    told = [frame for frame in frames if frame["type"] == "egress-blocked"]
    assert [(one["host"], one["reason"], one["mayAllow"]) for one in told] == [(HOST, "host", True)]
    messages = (await stack.get(f"/api/sessions/{session}/messages"))["messages"]
    assert messages[-1]["meta"]["egressBlocked"] == [{"host": HOST, "reason": "host", "mayAllow": True}]
    health = await stack.get("/api/health")
    assert health["egress"] == {"opened": 0, "blocked": 2, "turnedAway": 0}


async def test_without_a_run_nobody_is_told_and_the_next_run_is_whole(stack: Stack) -> None:
    session = await stack.session()
    assert_whole(await stack.ask(session, "Echo one"))
    async with Reached(stack) as reached:
        status, _, _ = await reached.ask(f"CONNECT {HOST}:443", session=session)
        assert status == 403
        assert_whole(frames := await stack.ask(session, "Echo two"))
    assert "egress-blocked" not in {frame["type"] for frame in frames}


async def test_the_owner_allows_a_host_and_the_next_connection_is_let_through(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, another = await stack.session(), await stack.session()
    noted: list[tuple[str, dict[str, Any]]] = []
    audit = stack.gateways[0].app[AUDIT]
    monkeypatch.setattr(audit, "record", lambda kind, **told: noted.append((kind, told)))
    async with Reached(stack) as reached:
        assert (await reached.ask(f"CONNECT {HOST}:443", session=session))[0] == 403
        status, told = await allow(stack, session, "CI.example.com.")
        assert (status, told["egressHosts"]) == (200, [HOST])
        [event] = [event for kind, event in noted if kind == "egress-allow"]
        assert (event["who"], event["session"], event["host"]) == ("ada", session, HOST)
        assert (await allow(stack, session))[1]["egressHosts"] == [HOST]
        async with asyncio.timeout(20):
            while (await reached.ask(f"CONNECT {HOST}:443", session=session))[0] != 200:
                await asyncio.sleep(0.1)
        assert (await reached.ask(f"CONNECT {HOST}:443", session=another))[0] == 403

        assert (await take_back(stack, session, user="eve"))[0] == 403
        for _ in range(2):
            status, told = await take_back(stack, session, "CI.example.com.")
            assert (status, told["egressHosts"]) == (200, [])
        [event] = [event for kind, event in noted if kind == "egress-disallow"]
        assert (event["who"], event["session"], event["host"]) == ("ada", session, HOST)
        async with asyncio.timeout(20):
            while (await reached.ask(f"CONNECT {HOST}:443", session=session))[0] != 403:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost", "*.example.com", "", None, 7, "a" * 300])
async def test_what_is_no_host_is_not_allowed(stack: Stack, host: Any) -> None:
    status, told = await allow(stack, await stack.session(), host)
    assert (status, told["field"]) == (400, "host")


async def test_a_session_has_so_many_hosts_of_its_own(stack: Stack) -> None:
    session = await stack.session()
    made = await asyncio.gather(*(allow(stack, session, f"h{n}.example.com") for n in range(8)))
    assert [status for status, _ in made] == [200] * 8
    for number in range(8, MOST_ALLOWED):
        assert (await allow(stack, session, f"h{number}.example.com"))[0] == 200
    status, told = await allow(stack, session)
    assert (status, told["code"]) == (409, "conflict")
    made = await asyncio.gather(*(take_back(stack, session, f"h{n}.example.com") for n in range(8)))
    assert [status for status, _ in made] == [200] * 8
    assert (await allow(stack, session))[0] == 200
    assert (await take_back(stack, session, "10.0.0.1"))[0] == 400
    assert len((await stack.get(f"/api/sessions/{session}"))["egressHosts"]) == MOST_ALLOWED - 7


@pytest.mark.parametrize(
    "changes",
    [{"egress": "none"}, {"egress": "all"}, {"egress_session_allow": False}],
    ids=["none", "all", "fixed"],
)
async def test_where_no_owner_decides_it_is_refused(
    dynamodb_endpoint: str, tmp_path: Path, changes: dict[str, Any]
) -> None:
    how = {"egress": "registries", "egress_proxy": "127.0.0.1:1", **changes}
    async with Stack(dynamodb_endpoint, f"t-{new_id()}", tmp_path, **how) as stack:
        session = await stack.session()
        status, told = await allow(stack, session)
        assert (status, told["code"]) == (403, "forbidden")
        assert (await stack.get(f"/api/sessions/{session}"))["egressHosts"] == []
