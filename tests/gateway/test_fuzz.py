"""Whatever a stranger sends to either listener: an answer that is no 500, no traceback, and a gateway that goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from aiohttp import web

from container.protocol import sandbox_token
from gateway.ids import new_id
from gateway.web.request.auth import mint
from gateway.web.routes import ROUTES
from tests.chaos.sandboxes import Sandboxes
from tests.conftest import ROOT, free_port
from tests.gateway.fuzz import Known, Request, draw
from tests.gateway.stack import SECONDS, SECRET, assert_whole, read_all, text_of

SEED: Final = "20"
REQUESTS: Final = 5000
AT_ONCE: Final = 8
BROKER_SHARE: Final = 5
"""Every so many-th request goes to the broker."""

ANSWER_SECONDS: Final = 20.0
"""Limit for an answer to what is whole, on a busy machine too."""

UNFINISHED_SECONDS: Final = 0.3
"""What a server may wait for more of is left after this."""

BROKER_PATHS: Final = (
    *(
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/m"),
    ),
    *(("GET", "/"), ("POST", "/v1/files"), ("DELETE", "/v1/messages")),
)


MORE_PATHS: Final = (("GET", "/index.html"), ("GET", "/x/y"), ("GET", "/relay/ws"))
"""Besides the route table's: the page's files, and a session's relay, which is any other path."""


@dataclass
class Fuzzed:
    """A gateway in a process of its own, and what came of the requests. `faults`: seed, what happened, the request."""

    port: int
    broker_port: int
    log: Path
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str, bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def send(self, seed: str, request: Request, port: int) -> None:
        """On a connection of its own."""
        try:
            told = await self._answer(request, port)
        except TimeoutError:
            told = "silence"
        except OSError:
            told = "closed"
        self.answers[told] += 1
        if told == "500" or (told == "silence" and not request.unfinished):
            self.faults.append((seed, told, request.data[:600]))

    async def _answer(self, request: Request, port: int) -> str:
        """The status of the answer; `closed` where there was none."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(UNFINISHED_SECONDS if request.unfinished else ANSWER_SECONDS):
                writer.write(request.data)
                while (line := await reader.readline()).startswith(b"HTTP/1.1 100"):
                    await reader.readline()
                if not line:
                    return "closed"
                status = line.split(b" ")[1].decode()
                if status == "101":
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(request.after_upgrade)
                    await writer.drain()
                return status
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    """What stands in for the model's API: anything is answered."""

    async def answer(request: web.Request) -> web.Response:
        with contextlib.suppress(ConnectionError):
            await request.read()
        return web.json_response({"ok": True})

    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", answer)
    limit = 1024 * 1024
    runner = web.AppRunner(app, max_line_size=limit, max_field_size=limit)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def fuzzed(dynamodb_endpoint: str, upstream: str, tmp_path: Path) -> AsyncIterator[Fuzzed]:
    """`python -m gateway` with both listeners, its log in a file."""
    found = Fuzzed(port=free_port(), broker_port=free_port(), log=tmp_path / "log")
    environment = {
        "PATH": os.environ["PATH"],
        "VF_STACK": "test",
        "VF_JWT_SECRET": SECRET,
        "VF_SANDBOX_SECRET": SECRET,
        "VF_CREDENTIAL_KEY": SECRET,
        "VF_HOST": "127.0.0.1",
        "VF_PORT": str(found.port),
        "VF_BROKER_PORT": str(found.broker_port),
        "VF_TABLE": f"test-{new_id()}",
        "VF_TABLE_CREATE": "true",
        "VF_DYNAMODB_ENDPOINT": dynamodb_endpoint,
        "VF_DRIVER": "process",
        "VF_PROCESS_ROOT": str(tmp_path / "sandboxes"),
        "VF_MODEL_API_URL": upstream,
        "VF_MODEL_API_KEY": "sk-none",
        "VF_DRAIN_SECONDS": "3",
        "VF_SESSIONS_PER_HOUR": "0",
    }
    with found.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(SECONDS):
            while b"listening on port" not in found.log.read_bytes():
                assert process.returncode is None, found.log.read_text()
                await asyncio.sleep(0.05)
        yield found
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        Sandboxes(tmp_path / "sandboxes").kill_all()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_nothing_that_a_stranger_sends_is_a_500_or_stops_a_good_user(fuzzed: Fuzzed) -> None:
    async with aiohttp.ClientSession(headers=bearer("ada")) as ada, aiohttp.ClientSession() as mallory:
        sessions = [await new_session(ada, fuzzed.url) for _ in range(200)]
        async with mallory.post(f"{fuzzed.url}/api/sessions", json={}, headers=bearer("mallory")) as response:
            others = (await response.json())["id"]
        public = Known(
            host=f"127.0.0.1:{fuzzed.port}".encode(),
            paths=[*((route.method, path_of(route.path)) for route in ROUTES), *MORE_PATHS],
            sessions=[*sessions, others],
            busy=[*sessions[:3], others, "nobody-s"],
            authorization=[b"Authorization: " + bearer("ada")["Authorization"].encode()],
        )
        token = sandbox_token(SECRET.encode(), sessions[0]).encode()
        broker = Known(
            host=b"gateway:8081",
            paths=BROKER_PATHS,
            sessions=["m"],
            busy=sessions[:3],
            authorization=[b"x-api-key: " + token, b"Authorization: Bearer " + token],
        )
        numbers = iter(range(REQUESTS))

        async def send_some() -> None:
            for number in numbers:
                to_broker = number % BROKER_SHARE == 0
                known, port = (broker, fuzzed.broker_port) if to_broker else (public, fuzzed.port)
                seed = f"{SEED}:{number}"
                await fuzzed.send(seed, draw(known, seed), port)

        await asyncio.gather(*(send_some() for _ in range(AT_ONCE)))

        # Most got an answer, of many kinds: else they were too broken to try anything.
        assert sum(fuzzed.answers.values()) == REQUESTS
        assert fuzzed.answers["closed"] + fuzzed.answers["silence"] < REQUESTS // 10, fuzzed.answers
        assert {"101", "200", "201", "204", "400", "401", "403", "404", "405", "413"} <= set(fuzzed.answers)

        # The gateway is as good as before to who behaves.
        async with asyncio.timeout(SECONDS):
            session = await new_session(ada, fuzzed.url)
            query = {"sessionId": session, "prompt": "echo still here"}
            async with ada.ws_connect(f"{fuzzed.url}/api/sdk/ws", params=query) as socket:
                frames = await read_all(socket)
    assert_whole(frames)
    assert "still here" in text_of(frames)
    assert fuzzed.faults == [], fuzzed.answers
    log = fuzzed.log.read_text(errors="replace")
    for known in (public, broker):
        assert not [
            secret for header in known.authorization if (secret := header.split()[-1].decode()) in log
        ]
    lines = log.splitlines()
    assert [line for line in lines if "Traceback" in line or " ERROR " in line or " CRITICAL " in line] == []


def test_a_seed_draws_the_same_request_again() -> None:
    known = Known(host=b"h", paths=BROKER_PATHS, sessions=["a"], busy=["b"], authorization=[b"x-api-key: c"])
    first, again = ([draw(known, f"{SEED}:{n}") for n in range(50)] for _ in range(2))
    assert first == again
    assert len({request.data for request in first}) == 50


def path_of(path: str) -> str:
    """A route's path with no pattern in it but `{session}`."""
    return "/" if "{file" in path else path


def bearer(user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {mint(user, 3600, secret=SECRET)}"}


async def new_session(client: aiohttp.ClientSession, url: str) -> str:
    async with client.post(f"{url}/api/sessions", json={}) as response:
        assert response.status == 201, await response.text()
        return str((await response.json())["id"])
