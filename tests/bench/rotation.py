"""Each of a stack's own secrets rotated while people work: what they notice, and what the old one is worth then."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from container.protocol import sandbox_token
from gateway.ids import new_id
from gateway.web.request.auth import mint
from infra.generated import VARIABLES
from tests.bench.figures import table
from tests.e2e.deployed import AGENT_PORT, Deployed, run_in
from tests.gateway.stack import assert_whole, numbered

STREAMS: Final = 3
ASKERS: Final = 2
PAUSE_SECONDS: Final = 0.1

SERVERS: Final = {
    "notes": {"type": "stdio", "command": "true", "env": {"NOTES_TOKEN": "a-token-of-the-users-own"}}
}
"""Kept as credentials are; the names come back to their user only where they open."""

ASK: Final = """
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

def status(url, token):
    try:
        return urlopen(Request(url, headers={"Authorization": "Bearer " + token}), timeout=5).status
    except HTTPError as error:
        return error.code

print(*(status(sys.argv[1], token) for token in sys.argv[2:]))
"""
"""What a URL answers to each of some tokens, in a container."""

OPENS: Final = """
import asyncio, dataclasses, os, sys
from gateway.config import read_settings
from gateway.errors import StoreUnavailable
from gateway.store.dynamo import DynamoStore

async def main():
    for secret in sys.argv[1:]:
        settings = dataclasses.replace(read_settings(os.environ), credential_key=secret, credential_key_accepted="")
        store = DynamoStore(settings)
        try:
            await store.open()
            print("opens")
        except StoreUnavailable as error:
            print("refused" if "cannot be opened" in error.message else error.message)
        finally:
            await store.close()

asyncio.run(main())
"""
"""Whether the table's data keys open with each of some secrets alone, in a gateway's container."""


@dataclass
class Noticed:
    """What people saw. `refused`: answers that were errors; `cut`: connections that broke, and were made again."""

    frames: int = 0
    answers: int = 0
    requests: int = 0
    refused: list[str] = field(default_factory=list)
    cut: int = 0
    longest_ms: float = 0.0


class Crowd:
    """Signed-in people of a stack, each with a session: `STREAMS` that read on and on, `ASKERS` that ask prompt after
    prompt, and one who looks at settings and sessions. A task that fails fails all."""

    def __init__(self, stack: Deployed, secret: str) -> None:
        self.noticed = Noticed()
        self.secret = secret
        self.owner = f"rotation-{new_id()}"
        self.sessions: list[str] = []
        self._url = stack.url
        self._leaving = False
        self._http = aiohttp.ClientSession()

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Meanwhile they work; it begins when each has had an answer. Afterwards every run is whole and their sessions
        are gone, with their sandboxes."""
        async with self._http:
            await self._call(
                "PUT", "/api/settings", json={"mcpServers": SERVERS, "credential": "sk-of-their-own"}
            )
            for _ in range(STREAMS + ASKERS):
                made = await self._call("POST", "/api/sessions", json={"title": "rotation"})
                self.sessions.append(made["id"])
            reading, asking = self.sessions[:STREAMS], self.sessions[STREAMS:]
            begun = [asyncio.Event() for _ in self.sessions]
            async with asyncio.TaskGroup() as group:
                for session, event in zip(reading, begun[:STREAMS], strict=True):
                    group.create_task(self._stream(session, "count to 2000000 every 20 ms", event))
                for session, event in zip(asking, begun[STREAMS:], strict=True):
                    group.create_task(self._ask(session, event))
                group.create_task(self._look())
                await asyncio.gather(*(event.wait() for event in begun))
                yield
                self._leaving = True
                for session in reading:
                    await self._call("POST", "/api/sdk/stop", json={"sessionId": session})
            for session in self.sessions:
                await self._call("DELETE", f"/api/sessions/{session}")

    async def _ask(self, session: str, begun: asyncio.Event) -> None:
        while not self._leaving:
            await self._stream(session, "count to 100 every 20 ms", begun, "completed")

    async def _stream(self, session: str, prompt: str, begun: asyncio.Event, reason: str = "stopped") -> None:
        """A run to its end, read on by its cursor wherever a connection ended."""
        frames: list[dict[str, Any]] = []
        message, run = new_id(), ""
        while not frames or frames[-1]["type"] != "process-exit":
            asked = (
                {"run": run, "after": str(len(frames))} if run else {"prompt": prompt, "messageId": message}
            )
            try:
                async with self._http.ws_connect(
                    f"{self._url}/api/sdk/ws",
                    params={"sessionId": session, **asked},
                    headers=self._headers(),
                    max_msg_size=0,
                ) as socket:
                    async for told in socket:
                        if told.type is not aiohttp.WSMsgType.TEXT:
                            break
                        lines = [json.loads(line) for line in told.data.split("\n")]
                        self.noticed.refused += [str(line) for line in lines if line["type"] == "error"]
                        frames += numbered(lines)
                        if frames:
                            run = frames[0]["run"]
                            begun.set()
            except aiohttp.WSServerHandshakeError as error:
                await self._failed(f"handshake: {error.status}")
            except aiohttp.ClientConnectionError:
                await self._failed("")
        assert_whole(frames, reason)
        self.noticed.frames += len(frames)
        self.noticed.answers += 1

    async def _look(self) -> None:
        while not self._leaving:
            settings = await self._call("GET", "/api/settings")
            if settings is not None:
                assert settings["mcpServers"].keys() == SERVERS.keys(), settings
                assert settings["credential"] == {"set": True}
            listed = await self._call("GET", "/api/sessions")
            assert listed is None or len(listed["sessions"]) == len(self.sessions)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _call(self, method: str, path: str, **more: Any) -> Any:
        """The answer's body; None where there was none, which is noticed."""
        asked = time.perf_counter()
        try:
            async with self._http.request(
                method, self._url + path, headers=self._headers(), **more
            ) as response:
                body = await response.text()
                self.noticed.requests += 1
                if response.status >= 300:
                    await self._failed(f"{path}: {response.status} {body}")
                    return None
                self.noticed.longest_ms = max(self.noticed.longest_ms, (time.perf_counter() - asked) * 1000)
                return json.loads(body) if body else {}
        except aiohttp.ClientConnectionError:
            await self._failed("")
            return None

    async def _failed(self, refused: str) -> None:
        if refused:
            self.noticed.refused.append(refused)
        else:
            self.noticed.cut += 1
        await asyncio.sleep(PAUSE_SECONDS)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {mint(self.owner, 900, secret=self.secret)}"}


async def measure(folder: Path, names: list[str], say: Any) -> dict[str, Any]:
    """Deploy a stack, rotate each of these secrets to its end, and tell what was noticed. Raises `AssertionError` for a
    frame, an answer or a credential that is lost, and for an old secret that is worth something."""
    stack = Deployed("demo", folder)
    found: dict[str, Any] = {}
    try:
        await asyncio.to_thread(stack.deploy)
        for name in names:
            say(f"rotating {name}")
            found[name] = await _rotated(stack, name)
            say(f"{name}: {found[name]}")
    finally:
        await asyncio.to_thread(stack.destroy)
    return found


def shown(found: dict[str, Any], load: str) -> str:
    """As a table."""
    rows = [
        [
            name,
            *(figure[key] for key in ("seconds", "frames", "answers", "requests", "refused", "cut")),
            figure["old"],
        ]
        for name, figure in found.items()
    ]
    header = ["", "seconds", "frames", "answers", "requests", "refused", "cut", "the old one"]
    return table(f"each secret rotated while {STREAMS + ASKERS + 1} people work; {load}", header, rows)


async def _rotated(stack: Deployed, name: str) -> dict[str, Any]:
    old, begun = _secret(stack, name), time.monotonic()
    crowd = Crowd(stack, _secret(stack, "jwt"))
    async with crowd.at_work():
        await asyncio.to_thread(stack.rotate, name)
    # What was started, or signed, before has ended: the new secret alone is used.
    second = Crowd(stack, _secret(stack, "jwt"))
    async with second.at_work():
        await asyncio.to_thread(stack.rotate, name, "--finish")
        new = _secret(stack, name)
        assert new != old
        worth = {"old": await _worth(stack, second, name, old), "new": await _worth(stack, second, name, new)}
    assert worth["old"] == "refused", worth
    assert worth["new"] == "taken", worth
    noticed = [crowd.noticed, second.noticed]
    refused = [line for one in noticed for line in one.refused]
    assert not refused, refused[:5]
    return {
        "seconds": round(time.monotonic() - begun),
        "frames": sum(one.frames for one in noticed),
        "answers": sum(one.answers for one in noticed),
        "requests": sum(one.requests for one in noticed),
        "refused": len(refused),
        "cut": sum(one.cut for one in noticed),
        "longest_ms": round(max(one.longest_ms for one in noticed)),
        "old": worth["old"],
    }


def _secret(stack: Deployed, name: str) -> str:
    """The one in use, as gateways have it."""
    gateway = stack.containers("vaporforge.role=gateway")[0]
    return run_in(gateway, "cat", f"/run/secrets/{VARIABLES[name].lower()}")


async def _worth(stack: Deployed, crowd: Crowd, name: str, secret: str) -> str:
    """`taken` or `refused`, by who is asked with it; `mixed` where they do not agree."""
    said = set(await asyncio.to_thread(lambda: list(_asked(stack, crowd, name, secret))))
    return said.pop() if len(said) == 1 else f"mixed: {said}"


def _asked(stack: Deployed, crowd: Crowd, name: str, secret: str) -> Any:
    gateways = stack.containers("vaporforge.role=gateway")
    words = {"200": "taken", "401": "refused", "opens": "taken"}
    for gateway in gateways:
        files = run_in(gateway, "sh", "-c", "cat /run/secrets/*")
        yield "taken" if secret in files else "refused"
        said = ""
        if name == "jwt":
            token = mint(crowd.owner, 900, secret=secret)
            said = run_in(gateway, "python", "-c", ASK, "http://127.0.0.1:8080/api/sessions", token)
        if name == "launcher":
            said = run_in(gateway, "python", "-c", ASK, "http://launcher:8090/fingerprint", secret)
        if name == "credential":
            said = run_in(gateway, "python", "-c", OPENS, secret)
        if said := said.strip():
            yield words.get(said, said)
    if name == "sandbox":
        for session in crowd.sessions:
            token = sandbox_token(secret.encode(), session)
            url = f"http://127.0.0.1:{AGENT_PORT}/ping"
            said = run_in(stack.sandbox(session), "/opt/venv/bin/python", "-c", ASK, url, token).strip()
            yield words.get(said, said)
