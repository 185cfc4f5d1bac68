"""A task's protection: asked for with the first run, given back behind the last one, and never without an end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from gateway.concurrency.condition import Condition
from gateway.ids import new_id
from gateway.runs.protection import Protection
from gateway.sandboxes.agent_client import sandbox_client
from tests.gateway.ecs_agent import LONG, StandInEcsAgent
from tests.gateway.stack import ENDLESS, Stack, read_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import aiohttp


class Gateway:
    """Its runs, by name; a `Protection` of it keeps its task protected."""

    def __init__(self, agent: StandInEcsAgent, http: aiohttp.ClientSession) -> None:
        self.runs: set[str] = set()
        self._agent = agent
        self._http = http
        self._changed = Condition()
        self._keeping: list[asyncio.Task[None]] = []

    def keep(self, *, minutes: float = 15) -> asyncio.Task[None]:
        protection = Protection(
            self._agent.url,
            self._http,
            minutes=minutes,
            busy=lambda: bool(self.runs),
            changed=self._changed,
        )
        self._keeping.append(asyncio.create_task(protection.keep_forever()))
        return self._keeping[-1]

    def begin(self, run: str) -> None:
        self.runs.add(run)
        self._changed.notify_all()

    def end(self, run: str) -> None:
        self.runs.remove(run)
        self._changed.notify_all()

    async def close(self) -> None:
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the pauses; here none is waited for, but the rest, which does not end."""

    def of(**seconds: float) -> None:
        for name, value in seconds.items():
            monkeypatch.setattr(f"gateway.runs.protection.{name.upper()}_SECONDS", value)

    of(linger=0, rest=LONG, retry=0)
    return of


@pytest.fixture
async def agent() -> AsyncIterator[StandInEcsAgent]:
    async with StandInEcsAgent() as agent:
        yield agent


@pytest.fixture
async def gateway(agent: StandInEcsAgent) -> AsyncIterator[Gateway]:
    async with sandbox_client() as http:
        gateway = Gateway(agent, http)
        yield gateway
        await gateway.close()


async def turns() -> None:
    """Time for whatever is ready to be done."""
    for _ in range(50):
        await asyncio.sleep(0)


ON = {"ProtectionEnabled": True, "ExpiresInMinutes": 15}
OFF = {"ProtectionEnabled": False}


async def test_a_task_is_protected_from_its_first_run_to_its_last(
    agent: StandInEcsAgent, gateway: Gateway
) -> None:
    gateway.keep()
    await turns()
    assert agent.asked == []
    gateway.begin("one")
    assert await agent.until(1) == [ON]
    gateway.begin("two")
    gateway.end("one")
    await turns()
    assert agent.asked == [ON]
    gateway.end("two")
    assert await agent.until(2) == [ON, OFF]


async def test_runs_that_follow_each_other_are_one_protection(
    agent: StandInEcsAgent, gateway: Gateway, pauses: Callable[..., None]
) -> None:
    pauses(linger=LONG)
    gateway.keep()
    gateway.begin("one")
    await agent.until(1)
    for before, after in (("one", "two"), ("two", "three")):
        gateway.end(before)
        await turns()
        gateway.begin(after)
        await turns()
    assert agent.asked == [ON]


async def test_a_gateway_that_is_always_busy_lets_a_deployment_have_its_turn(
    agent: StandInEcsAgent, gateway: Gateway
) -> None:
    gateway.keep(minutes=0.001)
    gateway.begin("endless")
    # The run is still on; ECS counts in whole minutes, so it is told before they are over.
    assert await agent.until(2) == [{"ProtectionEnabled": True, "ExpiresInMinutes": 1}, OFF]
    gateway.begin("another")
    await turns()
    assert len(agent.asked) == 2


async def test_after_a_rest_it_is_protected_again(
    agent: StandInEcsAgent, gateway: Gateway, pauses: Callable[..., None]
) -> None:
    pauses(rest=0.01)
    gateway.keep(minutes=0.001)
    gateway.begin("endless")
    asked = await agent.until(4)
    assert [each["ProtectionEnabled"] for each in asked[:4]] == [True, False, True, False]


async def test_what_is_asked_for_again_soon_has_what_is_left(
    agent: StandInEcsAgent, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    now, passed = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: now() + passed)
    gateway.keep()
    gateway.begin("one")
    await agent.until(1)
    gateway.end("one")
    await agent.until(2)
    passed = 200.0
    gateway.begin("two")
    asked = await agent.until(3)
    # 200 s of 15 minutes are gone; LONG is the rest behind which there would be 15 again.
    assert asked[2] == {"ProtectionEnabled": True, "ExpiresInMinutes": 12}


@pytest.mark.parametrize(
    "refusal",
    [
        {"failure": {"Arn": "arn", "Reason": "DEPLOYMENT_BLOCKED", "Detail": None}},
        {"requestID": "1", "error": {"Arn": "arn", "Code": "AccessDeniedException", "Message": "no"}},
        {"protection": {"ProtectionEnabled": False}},
        {"protection": None},
        "not even JSON",
    ],
    ids=["failure", "error", "not done", "nothing", "no JSON"],
)
async def test_a_refusal_is_logged_once_and_asked_again_until_it_is_done(
    agent: StandInEcsAgent, gateway: Gateway, refusal: dict[str, Any] | str, caplog: pytest.LogCaptureFixture
) -> None:
    agent.refusal = refusal
    gateway.keep()
    with caplog.at_level(logging.INFO, logger="gateway.runs.protection"):
        gateway.begin("one")
        await agent.until(3)
        agent.refusal = {}
        await agent.until(len(agent.asked) + 1)
        gateway.end("one")
        while agent.asked[-1] != OFF:
            await agent.until(len(agent.asked) + 1)
        await turns()
    assert all(each == ON for each in agent.asked[:-1])
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("the agent of ECS does not protect this task as asked")
    if isinstance(refusal, dict) and "failure" in refusal:
        assert "DEPLOYMENT_BLOCKED" in said[0]
    assert said[1] == "the agent of ECS does as asked again"


async def test_an_agent_that_is_away_ends_nothing(
    agent: StandInEcsAgent, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    await agent.__aexit__(None, None, None)
    keeping = gateway.keep()
    gateway.begin("one")
    while not caplog.records:
        await asyncio.sleep(0.01)
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert not keeping.done()
    assert len(caplog.records) == 1


async def test_a_gateway_that_is_told_of_an_agent_asks_it_while_it_records(
    agent: StandInEcsAgent, dynamodb_endpoint: str, tmp_path: Path
) -> None:
    """From the application's settings on, with a real run."""
    table = f"test-{new_id()}"
    async with Stack(dynamodb_endpoint, table, tmp_path, ecs_agent_uri=agent.url) as stack:
        session = await stack.session()
        async with stack.connect(session, prompt=ENDLESS) as socket:
            frames = await read_until(socket, "text-delta")
            assert await agent.until(1) == [ON]
            run = next(frame["run"] for frame in frames if "run" in frame)
            assert (await stack.post("/api/sdk/stop", {"sessionId": session, "run": run}))[0] == 200
        assert await agent.until(2) == [ON, OFF]


@pytest.mark.parametrize(
    "settings",
    [{}, {"ecs_agent_uri": "http://127.0.0.1:9/api", "protect_minutes": 0.0}],
    ids=["no agent", "no minutes"],
)
async def test_elsewhere_nobody_is_asked(
    dynamodb_endpoint: str, tmp_path: Path, settings: dict[str, Any]
) -> None:
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", tmp_path, **settings) as stack:
        working = {task.get_name() for task in stack.gateways[0].runs._background}
    assert "sweeper" in working
    assert "task protection" not in working
