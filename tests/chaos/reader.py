"""Readers that trust nothing: they keep every frame as it came, over all their connections, and resume by cursor.

They behave as the page's client does (gateway/static/client/run-stream.js): full jitter between attempts, the delay
of a `reconnect` frame obeyed, silence taken for a dead link, fatal answers taken for the end.
"""

from __future__ import annotations

import asyncio
import json
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.chaos.history import History, Opening

SILENCE_SECONDS = 45.0
"""Nothing for this long (the server pings every 20 s, an event stream every 30 s) is a dead link."""

BACKOFF_BASE_SECONDS, BACKOFF_CAP_SECONDS = 0.25, 10.0
"""The page's own policy: full jitter, up to a cap that doubles with each failure."""

PASSING = frozenset({"store-unavailable", "sandbox-unavailable", "draining", "unavailable", "internal"})
"""Codes of errors after which a client tries again; every other one is final."""


@dataclass(frozen=True)
class Net:
    """How readers reach the gateways. `urls`: where to dial next; `dialled` is told of every attempt."""

    http: aiohttp.ClientSession
    urls: Callable[[], str]
    headers: Mapping[str, str]
    dialled: Callable[[str], None] = lambda _: None


class Refused(Exception):
    """The gateway says that this will never work."""


class Reader(ABC):
    """Follows one run to its end through whatever happens; `cut` tears its TCP connection.

    `prompt`: it starts the run (with one messageId, however often it has to ask); else `run` must be given.
    """

    def __init__(
        self,
        net: Net,
        session: str,
        name: str,
        *,
        run: str | None = None,
        prompt: str | None = None,
        message_id: str = "",
    ) -> None:
        self.history = History(name)
        self.session = session
        self.run = run
        self.known = asyncio.Event()
        self._net = net
        self._prompt = prompt
        self._message_id = message_id
        self._transport: asyncio.Transport | None = None
        self._told_delay: float | None = None
        self._failures = 0
        self._frames_when_cut = 0
        if run is not None:
            self.known.set()

    async def read(self) -> History:
        """Read until `process-exit`, or until a refusal; reconnects with the cursor for as long as it takes."""
        try:
            while not self.history.ended:
                await self._attempt()
                if not self.history.ended:
                    await asyncio.sleep(self._delay())
        except Refused as refusal:
            self.history.refused.append(str(refusal))
        self.known.set()
        return self.history

    def cut(self) -> bool:
        """Tear the connection as a lost network does: no close frame, no FIN; whether there was one."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.abort()
        self._frames_when_cut = len(self.history.frames)
        return True

    @property
    def has_come_further(self) -> bool:
        """Whether it got a frame since it was last cut."""
        return len(self.history.frames) > self._frames_when_cut

    @abstractmethod
    async def _read_once(self, url: str) -> None:
        """One connection, until it ends."""

    async def _attempt(self) -> None:
        self._told_delay = None
        url = self._net.urls()
        self._net.dialled(url)
        try:
            await self._read_once(url)
        except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            self._judge_status(getattr(error, "status", 0))
        finally:
            self._transport = None

    def _judge_status(self, status: int) -> None:
        if 400 <= status < 500 and status != 429:
            raise Refused(f"HTTP {status} after {len(self.history.frames)} frames")

    def _delay(self) -> float:
        if self._told_delay is not None:
            return self._told_delay
        cap = min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        return random.uniform(0, cap)

    def _opened(self, url: str, transport: asyncio.Transport | None) -> None:
        self._transport = transport
        self.history.openings.append(
            Opening(asyncio.get_running_loop().time(), url, len(self.history.frames))
        )

    def _take(self, line: bytes) -> None:
        frame: dict[str, Any] = json.loads(line)
        if self.run is None and frame.get("run"):
            self.run = frame["run"]
            self.known.set()
        if "seq" in frame:
            self._failures = 0
            if frame["run"] != self.run:
                raise Refused(f"a frame of run {frame['run']}")
            self.history.take(line, frame["seq"])
        elif frame["type"] == "reconnect":
            self._told_delay = frame["delayMs"] / 1000
        elif frame["type"] == "error" and frame["code"] not in PASSING:
            raise Refused(f"{frame['code']} after {len(self.history.frames)} frames")


class WebSocketReader(Reader):
    """Over `/api/sdk/ws`, several frames in a message."""

    async def _read_once(self, url: str) -> None:
        params = {"sessionId": self.session, "batch": "1"}
        if self.run is not None:
            params |= {"run": self.run, "after": str(len(self.history.frames))}
        async with self._net.http.ws_connect(
            f"{url}/api/sdk/ws", params=params, headers=self._net.headers, max_msg_size=0
        ) as socket:
            self._opened(url, socket._writer.transport)
            if self.run is None:
                start = {"type": "start", "prompt": self._prompt, "messageId": self._message_id}
                await socket.send_json(start)
            while True:
                message = await socket.receive(SILENCE_SECONDS)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                for line in message.data.encode().split(b"\n"):
                    self._take(line)


class EventReader(Reader):
    """Over `/api/sdk/stream`: server-sent events, `Last-Event-ID` is the cursor."""

    async def _read_once(self, url: str) -> None:
        body: dict[str, Any] = {"sessionId": self.session}
        headers = dict(self._net.headers)
        if self.run is None:
            body |= {"prompt": self._prompt, "messageId": self._message_id}
        elif self.history.frames:
            headers["Last-Event-ID"] = f"{self.run}:{len(self.history.frames)}"
        else:
            body["run"] = self.run
        async with self._net.http.post(f"{url}/api/sdk/stream", json=body, headers=headers) as response:
            self._judge_status(response.status)
            if response.status >= 500:
                return
            connection = response.connection
            self._opened(url, connection.transport if connection is not None else None)
            while not response.content.at_eof():
                async with asyncio.timeout(SILENCE_SECONDS):
                    event = await self._event(response.content)
                if event is not None:
                    self._take_event(event)

    @staticmethod
    async def _event(content: aiohttp.StreamReader) -> dict[bytes, bytes] | None:
        """The fields of the next whole event; None for a comment, or where the stream ended in the middle of one."""
        block = b""
        while not block.endswith(b"\n\n"):
            line = await content.readline()
            if not line:
                return None
            block += line
        fields = dict(line.partition(b": ")[::2] for line in block.splitlines() if line)
        return fields if b"data" in fields else None

    def _take_event(self, fields: dict[bytes, bytes]) -> None:
        if fields[b"data"] == b"[DONE]":
            return
        before = len(self.history.frames)
        self._take(fields[b"data"])
        after = len(self.history.frames)
        if after > before and fields.get(b"id") != f"{self.run}:{after}".encode():
            raise Refused(f"frame {after} came as event {fields.get(b'id')!r}")


@asynccontextmanager
async def client(address: str = "") -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client without limits of its own. `address`: of this machine's, the one that it calls from."""
    local = (address, 0) if address else None
    connector = aiohttp.TCPConnector(limit=0, force_close=True, local_addr=local)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=2**20) as http:
        yield http
