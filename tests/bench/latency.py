"""Prompt to first frame and to first text as a browser sees them, by phase."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

PHASES = ("session", "ticket", "upgrade", "admission", "attach", "agent")
"""One after the other, in ms: POST of a session (cold only), of a ticket, the WebSocket's upgrade; `start`
sent to `timing` (the run is in the store); to the run's first frame (its sandbox is attached); to its first text."""

ANSWER_SECONDS = 120.0
PROMPT = {"demo": "echo hello there", "claude": "say hello there"}


@dataclass(frozen=True, slots=True)
class Browser:
    """A client that does what the page does."""

    http: aiohttp.ClientSession
    url: str
    token: str

    async def session(self) -> str:
        """A new session's id."""
        return str((await self._post("/api/sessions", {}))["id"])

    async def open(self, session: str) -> None:
        """What opening a session in the page does to its sandbox: it wakes, and its agent with it."""
        async with self.http.ws_connect(
            f"{self.url}/relay", params={"sessionId": session}, headers=self._headers
        ):
            pass

    async def delete(self, session: str) -> None:
        """The session and its sandbox."""
        async with self.http.delete(f"{self.url}/api/sessions/{session}", headers=self._headers) as response:
            response.raise_for_status()

    async def ask(self, session: str | None, prompt: str) -> tuple[str, dict[str, float]]:
        """A prompt, in a new session when none is given, to its end. (The session, milliseconds by phase.)"""
        marks = [("", time.perf_counter())]

        def mark(phase: str) -> None:
            marks.append((phase, time.perf_counter()))

        if session is None:
            session = await self.session()
            mark("session")
        ticket = (await self._post("/api/sdk/ticket", {"sessionId": session}))["ticket"]
        mark("ticket")
        query = {"sessionId": session, "ticket": ticket, "batch": "1"}
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            self.http.ws_connect(f"{self.url}/api/sdk/ws", params=query) as ws,
        ):
            mark("upgrade")
            await ws.send_str(json.dumps({"type": "start", "prompt": prompt}))
            waited = [
                ("timing", "admission"),
                ("run", "attach"),
                ("session-init", "init"),
                ("text-delta", "agent"),
            ]
            reason = None
            async for said in _frames(ws):
                if waited and said["type"] == waited[0][0]:
                    mark(waited.pop(0)[1])
                reason = said.get("reason", reason) if said["type"] == "process-exit" else reason
        if waited or reason != "completed":
            raise RuntimeError(f"the answer ended with {reason} and without {waited}")
        return session, _phases(marks)

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        async with self.http.post(self.url + path, json=body, headers=self._headers) as response:
            response.raise_for_status()
            found: dict[str, Any] = await response.json()
            return found

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


async def _frames(ws: aiohttp.ClientWebSocketResponse[Any]) -> AsyncIterator[dict[str, Any]]:
    async for message in ws:
        for line in message.data.split("\n"):
            yield json.loads(line)


def _phases(marks: list[tuple[str, float]]) -> dict[str, float]:
    at = dict(marks)
    began = marks[0][1]
    phases = {
        phase: (now - before) * 1000
        for (_, before), (phase, now) in itertools.pairwise(marks)
        if phase not in ("init", "agent")
    }
    phases["agent"] = (at["agent"] - at["attach"]) * 1000
    phases["first frame"] = (at["attach"] - began) * 1000
    phases["agent's first frame"] = (at["init"] - began) * 1000
    phases["first text"] = (at["agent"] - began) * 1000
    return phases
