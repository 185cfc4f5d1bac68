"""Each secret is rotated while people work: gateways are replaced one after another, as an update does it."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from gateway.broker.credentials import credential_of
from gateway.ids import new_id
from gateway.web.request.auth import mint
from tests.gateway.stack import SECRET, Gateway, Stack, assert_whole, text_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from gateway.config import Settings

NEW = "n" * 48

KEY = "sk-ant-api03-of-ada-herself"

FIELDS = {"jwt": "jwt_secret", "sandbox": "sandbox_secret", "credential": "credential_key"}

PEOPLE = 3


@pytest.fixture
async def stack(dynamodb_endpoint: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """Two gateways on a table of their own."""
    async with Stack(dynamodb_endpoint, f"test-{new_id()}", tmp_path / "sandboxes") as stack:
        await stack.add()
        yield stack


class People:
    """Who goes on asking, each in a session of their own, at any of the gateways that serve.

    `refused`: every answer to a handshake or a request that was an error. `answers`: how many were whole. `asking`: by
    session, held while an answer is on."""

    def __init__(self, stack: Stack, secrets: Sequence[str]) -> None:
        self.stack = stack
        self.live = list(stack.gateways)
        self.refused: list[str] = []
        self.answers = 0
        self.asking: dict[str, asyncio.Lock] = {}
        self._secrets = secrets
        self._random = random.Random(5)
        self._leaving = False

    def headers(self, secret: str = "") -> dict[str, str]:
        token = mint("ada", 600, secret=secret or self._random.choice(self._secrets))
        return {"Authorization": f"Bearer {token}"}

    async def work(self, session: str) -> None:
        """Prompt after prompt; each answer must be whole, wherever it was read."""
        while not self._leaving:
            async with self.asking.setdefault(session, asyncio.Lock()):
                assert_whole(await self._answer(session))
            self.answers += 1
            await self._look(session)

    async def more(self, count: int) -> None:
        """Until everybody together has had so many more answers."""
        wanted = self.answers + count
        while self.answers < wanted:
            await asyncio.sleep(0.05)

    def leave(self) -> None:
        self._leaving = True

    async def _answer(self, session: str) -> list[dict[str, Any]]:
        message, frames = new_id(), list[dict[str, Any]]()
        run = ""
        while not frames or frames[-1]["type"] != "process-exit":
            asked = {"run": run, "after": str(len(frames))} if run else {"prompt": "count to 40 every 10 ms"}
            params = {"sessionId": session, "messageId": message, **asked}
            url = f"{self._random.choice(self.live).url}/api/sdk/ws"
            try:
                async with self.stack.http.ws_connect(url, params=params, headers=self.headers()) as socket:
                    async for told in socket:
                        for line in told.data.split("\n"):
                            frame = json.loads(line)
                            if "seq" in frame:
                                frames.append(frame)
                                run = frame["run"]
                            elif frame["type"] == "error":
                                self.refused.append(line)
            except aiohttp.WSServerHandshakeError as error:
                self.refused.append(f"{error.status} {error.message}")
                return frames
            except aiohttp.ClientConnectionError:
                continue
        return frames

    async def _look(self, session: str) -> None:
        for path in ("/api/settings", f"/api/sessions/{session}/messages"):
            with suppress(aiohttp.ClientConnectionError):
                async with self.stack.http.get(
                    self._random.choice(self.live).url + path, headers=self.headers()
                ) as response:
                    if response.status != 200:
                        self.refused.append(f"{path}: {response.status} {await response.text()}")


async def update(people: People, settings: Settings) -> None:
    """Each gateway is replaced by one with these settings, which serves before the old one ends."""
    for old in list(people.live):
        new = await people.stack.start(settings)
        people.live.append(new)
        await people.more(2)
        people.live.remove(old)
        await old.close()


def phases(settings: Settings, name: str) -> dict[str, Settings]:
    """The settings of each update of a rotation."""
    field = FIELDS[name]
    told: dict[str, dict[str, Any]] = {
        "accepted": {field: SECRET, f"{field}_accepted": NEW},
        "used": {field: NEW, f"{field}_accepted": SECRET},
        "finished": {field: NEW},
    }
    return {phase: replace(settings, **changes) for phase, changes in told.items()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["jwt", "sandbox", "credential"])
async def test_nobody_is_refused_and_nothing_is_lost(stack: Stack, name: str) -> None:
    sessions = [await stack.session() for _ in range(PEOPLE)]
    url = f"{stack.url}/api/settings"
    async with stack.http.put(url, json={"credential": KEY}, headers=stack.headers()) as response:
        assert response.status == 200
    people = People(stack, [SECRET])
    tasks = [asyncio.create_task(people.work(session)) for session in sessions]
    try:
        await people.more(PEOPLE)
        sandboxes = await pids(stack.gateways[0], sessions)
        for phase, settings in phases(stack.settings, name).items():
            if phase == "finished" and name == "jwt":
                people._secrets = [NEW]  # the old tokens have ended by then
            if phase == "finished" and name == "sandbox":
                for session in sessions:  # who has the old token has stopped by then
                    async with people.asking[session]:
                        await people.live[0].runs.driver.stop(session)
                await people.more(2 * PEOPLE)
            await update(people, settings)
            if name == "jwt" and phase != "finished":
                people._secrets = [SECRET, NEW]
            await people.more(PEOPLE)
            if phase != "finished":
                assert await pids(people.live[0], sessions) == sandboxes
        assert people.refused == []
    finally:
        people.leave()
        await asyncio.gather(*tasks)
    assert people.refused == []
    [last, _] = people.live
    assert await credential_of(last.runs.store, last.settings, "ada") == KEY
    if name == "jwt":
        async with stack.http.get(f"{last.url}/api/settings", headers=people.headers(SECRET)) as response:
            assert response.status == 401
    for session in sessions:
        params = {"sessionId": session, "prompt": "Echo the end"}
        headers = people.headers(NEW if name == "jwt" else SECRET)
        url = f"{last.url}/api/sdk/ws"
        async with stack.http.ws_connect(url, params=params, headers=headers) as socket:
            told = [json.loads(line) async for message in socket for line in message.data.split("\n")]
        assert "the end" in text_of(told)


async def pids(gateway: Gateway, sessions: Sequence[str]) -> list[tuple[str, int, float]]:
    """What tells one start of a sandbox from another."""
    found = [await gateway.runs.driver.status(session) for session in sessions]
    return [(sandbox.host, sandbox.port, sandbox.started_at) for sandbox in found]
