"""Runs on the `aws` target's settings: sandboxes from ECS, the rest in DynamoDB and S3, gateways that come and go."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from container.protocol import Close
from gateway.config import read_settings
from tests.aws.cloud.ministack import cloud
from tests.aws.gateways import AwsGateways, told
from tests.gateway.ecs_agent import StandInEcsAgent
from tests.gateway.sandboxes.drivers.docker_bench import agent_image
from tests.gateway.stack import ENDLESS, SECONDS, assert_whole, numbered, read_all, read_until, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.aws.cloud.ministack import Cloud

__all__ = ["agent_image"]

pytestmark = [
    pytest.mark.docker,
    pytest.mark.e2e,
    pytest.mark.timeout(600),  # the first one builds the image
    pytest.mark.asyncio(loop_scope="module"),
]

CREATE = "Create a file called kept.txt in /workspace with 'written before'"
LONG = "Count to 150 every 20 ms"
COUNTED = "".join(f"{number} " for number in range(1, 151))


class People:
    """Who uses the gateways, as any client does."""

    def __init__(self, gateways: AwsGateways, http: aiohttp.ClientSession) -> None:
        self.gateways = gateways
        self._http = http
        self._headers = {"Authorization": f"Bearer {gateways.token('ada')}"}

    async def session(self) -> str:
        return str((await self._call("POST", "/api/sessions", {}))["id"])

    def connect(self, session: str, *, gateway: int = 0, **query: str) -> Any:
        """A WebSocket that reads a run, or starts one."""
        url = f"{self.gateways.urls[gateway]}/api/sdk/ws"
        params = {"sessionId": session, **query}
        return self._http.ws_connect(url, params=params, headers=self._headers, max_msg_size=0)

    async def ask(self, session: str, prompt: str, *, gateway: int = 0) -> list[dict[str, Any]]:
        """Every frame of a prompt's run."""
        async with self.connect(session, gateway=gateway, prompt=prompt) as socket:
            return await read_all(socket)

    async def stop(self, session: str, run: str, *, gateway: int) -> None:
        await self._call("POST", "/api/sdk/stop", {"sessionId": session, "run": run}, gateway)

    async def contents(self, session: str) -> list[str]:
        """The texts of its messages, oldest first."""
        page = await self._call("GET", f"/api/sessions/{session}/messages", gateway=1)
        return [message["content"] for message in page["messages"]]

    async def _call(self, method: str, path: str, body: Any = None, gateway: int = 0) -> Any:
        url = self.gateways.urls[gateway] + path
        async with self._http.request(method, url, json=body, headers=self._headers) as response:
            text = await response.text()
            assert response.status in (200, 201), text
            return json.loads(text)


@pytest.fixture(scope="module")
def ministack() -> Iterator[Cloud]:
    with cloud() as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent() -> AsyncIterator[StandInEcsAgent]:
    async with StandInEcsAgent() as agent:
        yield agent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(
    ministack: Cloud, agent: StandInEcsAgent, agent_image: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[People]:
    """Users of two gateways, of which the first is told of an agent of ECS, as every task is."""
    folder = tmp_path_factory.mktemp("gateways")
    gateways = AwsGateways(ministack, agent_image, folder, told(), more={"ECS_AGENT_URI": agent.url})
    async with gateways, aiohttp.ClientSession() as http:
        yield People(gateways, http)


def run_of(frames: list[dict[str, Any]]) -> str:
    return next(str(frame["run"]) for frame in frames if "run" in frame)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await condition():
            await asyncio.sleep(0.1)


async def test_what_the_program_tells_a_gateway_is_all_that_it_needs() -> None:
    settings = read_settings(told().gateway)
    assert (settings.driver, settings.metrics, settings.keeps_files) == ("ecs", "emf", False)
    assert settings.blobs.startswith("s3://")
    assert not settings.table_create


async def test_an_answer_is_read_on_at_another_gateway_from_where_a_reload_left_it(people: People) -> None:
    session = await people.session()
    async with people.connect(session, prompt=LONG) as socket:
        head = await read_until(socket, "text-delta", 5)
    run, seen = run_of(head), numbered(head)
    async with people.connect(session, gateway=1, run=run, after=str(seen[-1]["seq"])) as socket:
        frames = seen + numbered(await read_all(socket))
        assert socket.close_code == Close.OK
    assert_whole(frames)
    assert text_of(frames) == COUNTED
    assert await people.contents(session) == [LONG, COUNTED]
    # From the store, when all is over.
    async with people.connect(session, run=run) as socket:
        assert numbered(await read_all(socket)) == frames


async def test_a_run_that_another_gateway_is_asked_to_stop_stops(people: People) -> None:
    session = await people.session()
    async with people.connect(session, prompt=ENDLESS) as socket:
        frames = await read_until(socket, "text-delta", 3)
        await people.stop(session, run_of(frames), gateway=1)
        frames += await read_all(socket)
    assert_whole(frames, "stopped")
    assert await people.contents(session) == [ENDLESS, text_of(frames)]
    # Its sandbox goes on.
    assert_whole(await people.ask(session, CREATE, gateway=1))
    assert len(await people.gateways.containers(session)) == 1


async def test_a_gateway_that_drains_hands_its_run_and_its_reader_to_the_other(
    people: People, agent: StandInEcsAgent
) -> None:
    session = await people.session()
    async with people.connect(session, prompt=LONG) as socket:
        seen = numbered(await read_until(socket, "text-delta", 3))
        first = people.gateways.gateways[0]
        draining = asyncio.create_task(first.end(signal.SIGTERM))
        rest = await read_all(socket)
        assert socket.close_code == Close.GOING_AWAY
    seen += numbered(rest)
    told_last = rest[-1]
    assert (told_last["type"], told_last["run"], told_last["after"]) == (
        "reconnect",
        run_of(seen),
        seen[-1]["seq"],
    )
    async with people.connect(
        session, gateway=1, run=told_last["run"], after=str(told_last["after"])
    ) as socket:
        frames = seen + numbered(await read_all(socket))
    await draining
    assert_whole(frames)
    assert text_of(frames) == COUNTED
    # It was protected as soon as it recorded.
    assert agent.asked[0] == {"ProtectionEnabled": True, "ExpiresInMinutes": 15}
    await first.start()
    assert_whole(await people.ask(session, "Hello"))


async def test_a_task_that_is_killed_is_told_and_its_files_come_back_in_the_next_one(people: People) -> None:
    session = await people.session()
    assert_whole(await people.ask(session, CREATE))
    await until(lambda: people.gateways.snapshot(session))
    async with people.connect(session, prompt=ENDLESS) as socket:
        frames = await read_until(socket, "text-delta", 3)
        killed = await people.gateways.kill(session)
        frames += await read_all(socket)
    assert_whole(frames, "lost")
    lost, ended = numbered(frames)[-2:]
    assert (lost["type"], lost["reason"]) == ("sandbox-lost", "killed")
    assert (ended["type"], ended["exitCode"]) == ("process-exit", None)
    text = text_of(frames)
    assert text.startswith("1 2 3 ")
    assert (await people.contents(session))[2:] == [ENDLESS, text]

    # Another task, with what the snapshot in S3 holds; the other gateway records.
    assert "written before" in text_of(await people.ask(session, "Read the file kept.txt", gateway=1))
    [running] = await people.gateways.containers(session, "running")
    assert running != killed
