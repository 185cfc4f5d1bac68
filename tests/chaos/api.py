"""The API as a patient person uses it: asks again while gateways and the store are away."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from tests.chaos.reader import Net

PATIENCE_SECONDS = 300.0
ANSWER_SECONDS = 30.0
"""A gateway that is frozen answers nothing; then another one is asked."""


class Api:
    """What people do besides reading. Raises TimeoutError when nobody answers for long, RuntimeError for a 4xx."""

    def __init__(self, net: Net) -> None:
        self._net = net

    async def new_session(self) -> str:
        """The id of a new session."""
        return str((await self.call("POST", "/api/sessions", {"title": "chaos"}))["id"])

    async def session(self, session: str) -> Any:
        """The session as docs/protocol.md has it."""
        return await self.call("GET", f"/api/sessions/{session}")

    async def delete(self, session: str) -> None:
        """Delete it; one that is gone already is fine (an answer may have been lost)."""
        await self.call("DELETE", f"/api/sessions/{session}", missing_ok=True)

    async def stop(self, session: str, run: str) -> None:
        """Stop a run from another tab."""
        await self.call("POST", "/api/sdk/stop", {"sessionId": session, "run": run})

    async def signal(self, session: str, run: str, action: str) -> bool:
        """Try once to `pause` or `resume`; whether it worked (no: not running, or something is away)."""
        try:
            async with self._request(
                "POST", f"/api/sdk/{action}", {"sessionId": session, "run": run}
            ) as response:
                return bool(response.status == 200)
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def messages(self, session: str) -> list[dict[str, Any]]:
        """The whole history, oldest first."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self.call("GET", f"/api/sessions/{session}/messages?limit=200&cursor={cursor}")
            found += page["messages"]
            cursor = page["cursor"] or ""
            if not cursor:
                return found

    async def recorded(self, session: str, run: str) -> list[bytes]:
        """The frames of a run that the store holds."""
        text: bytes = await self.call("GET", f"/api/sdk/replay/{session}?run={run}", raw=True)
        return [line for line in text.split(b"\n") if line]

    async def call(
        self, method: str, path: str, body: Any = None, *, raw: bool = False, missing_ok: bool = False
    ) -> Any:
        """Ask until an answer comes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                async with self._request(method, path, body) as response:
                    if response.status == 204 or (missing_ok and response.status == 404):
                        return None
                    if response.status < 400:
                        return await (response.read() if raw else response.json())
                    problem = f"{response.status} {await response.text()}"
                    if response.status < 500:
                        raise RuntimeError(f"{method} {path}: {problem}")
            except (aiohttp.ClientError, TimeoutError) as error:
                problem = repr(error)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {path}: {problem}")
            await asyncio.sleep(0.2)

    def _request(self, method: str, path: str, body: Any) -> Any:
        return self._net.http.request(
            method,
            self._net.urls() + path,
            json=body,
            headers=self._net.headers,
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        )
