"""Browser legs: a run over a WebSocket or as server-sent events, and the session's relay; each is a pipe."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import web

from container.protocol import Close, FrameType
from gateway import errors
from gateway.fields import parse_object
from gateway.model import Run, Session
from gateway.runs.follower import Follower
from gateway.runs.service import RunService
from gateway.runs.sink import tell
from gateway.sandboxes.drivers import Sandbox
from gateway.web.request.expiry import NO_END, expired
from gateway.web.streams.sinks import EventSink, WebSocketSink
from gateway.websocket.messages import Binary, Messages
from gateway.websocket.pace import Bucket, Pace
from gateway.websocket.tunnel import End, tunnel

log = logging.getLogger(__name__)

CLIENT_MESSAGE_LIMIT = 1280 * 1024
"""A `start` frame holds a prompt of at most 100,000 characters, each at most twelve bytes of JSON, and some fields."""

SIGNAL_LIMIT = 16 * 1024
"""Every other message of a browser has a type, and hardly anything else."""

BURST_SECONDS = 6
"""So many seconds' worth of messages may come at once."""

BAD_MESSAGES = 3
"""A browser that sends so many messages that mean nothing is closed."""

START_SECONDS = 30.0
"""How long a connection without a prompt may take to send its `start` frame."""

RECONNECT_SPREAD_MS = (250, 2250)
"""A draining gateway spreads its readers' reconnects over this range."""


def browser_socket(session: str, pace: Pace, messages_per_second: float) -> Messages:
    """A browser's end of a run."""
    clock = asyncio.get_running_loop().time
    return Messages(
        server=True,
        limit=CLIENT_MESSAGE_LIMIT,
        pace=pace,
        name=f"session {session}: a browser's connection",
        binary=True,
        budget=Bucket(messages_per_second, BURST_SECONDS * messages_per_second, clock),
    )


class BrowserConnection:
    """A browser's WebSocket that follows one run, and takes `stop`, `pause`, `resume` and `pong` from the browser. It
    ends, with `Unauthorized`, at `until`: the end of the browser's token, in epoch seconds. The run goes on."""

    def __init__(
        self, runs: RunService, socket: Messages, session: str, until: float = NO_END, *, batch: bool
    ) -> None:
        self._runs = runs
        self._socket = socket
        self._session = session
        self._until = until
        self._sink = WebSocketSink(socket, batch=batch)
        self.run: str | None = None

    async def first_frame(self) -> dict[str, Any] | None:
        """The browser's `start` frame; None once the browser was sent elsewhere, for this gateway drains, or has left.
        Raises `BadRequest` when something else comes, or nothing in time, and `Unauthorized`."""
        frames: list[dict[str, Any]] = []

        async def take() -> None:
            frames.append(await self._start_frame())

        if await first(take(), self._runs.drained.wait(), expired(self._until)) == 1:
            await self._send_elsewhere()
        return frames[0] if frames else None

    async def _start_frame(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(START_SECONDS):
                return await self._next_start()
        except TimeoutError:
            raise errors.BadRequest(
                "No start frame came in time; send start{prompt} or give prompt in the URL."
            ) from None

    async def _next_start(self) -> dict[str, Any]:
        async for message in self._socket:
            frame = {} if isinstance(message, Binary) else parse_object(message, "frame")
            if frame.get("type") == "pong":
                continue
            if frame.get("type") != "start":
                raise errors.BadRequest("The first frame must be start{prompt,…}.", field="type")
            return frame
        raise ConnectionResetError("the browser left before it asked anything")

    async def serve(self, run: Run, after: int, timing: dict[str, int]) -> None:
        """Follow the run until its end, the browser's leave, or this gateway's drain. Raises `Unauthorized`."""
        self.run = run.id
        self._socket.walker.allow(SIGNAL_LIMIT)
        await tell(self._sink, FrameType.TIMING, run=run.id, **timing)
        follower = Follower(self._runs, self._sink, self._session, run.id, after)
        reading = self._read()
        ended = await first(follower.follow(run), reading, self._runs.drained.wait(), expired(self._until))
        if ended == 0:
            await self._socket.close(Close.OK)
        elif ended == 2:
            await self._send_elsewhere(run=run.id, after=follower.cursor)

    async def _send_elsewhere(self, **cursor: Any) -> None:
        """Have the browser reconnect, with its cursor where it has one."""
        await tell(self._sink, FrameType.RECONNECT, **cursor, delayMs=random.randint(*RECONNECT_SPREAD_MS))
        await self._socket.close(Close.GOING_AWAY)

    async def fail(self, error: errors.VaporForgeError) -> None:
        """End with an `error` frame and the error's close code."""
        with suppress(ConnectionError):
            await tell(self._sink, FrameType.ERROR, **error.body())
        await self._socket.close(error.close, error.code)

    async def _read(self) -> None:
        left = BAD_MESSAGES
        async for message in self._socket:
            try:
                if isinstance(message, Binary):
                    raise errors.BadRequest("Binary messages mean nothing here; send JSON text.")
                await self._act(parse_object(message, "frame"))
            except errors.VaporForgeError as error:
                left -= isinstance(error, errors.BadRequest)
                if not left:
                    raise
                await tell(self._sink, FrameType.ERROR, **error.body())

    async def _act(self, frame: dict[str, Any]) -> None:
        match frame.get("type"):
            case "stop":
                await self._runs.signals.stop(self._session, self.run)
            case "pause":
                await self._runs.signals.pause(self._session, self.run)
            case "resume":
                await self._runs.signals.pause(self._session, self.run, resume=True)
            case "ping":
                await self._sink.send(b'{"type":"pong"}')
            case "pong":
                pass
            case _:
                raise errors.BadRequest("type must be stop, pause, resume or pong.", field="type")


async def serve_events(
    runs: RunService,
    response: web.StreamResponse,
    run: Run,
    after: int,
    timing: dict[str, int],
    until: float = NO_END,
) -> None:
    """A run as server-sent events on a prepared response; errors become `error` events. `[DONE]` is last where asking
    again would bring nothing more."""
    sink = EventSink(response, run.id)
    follower = Follower(runs, sink, run.session, run.id, after)
    try:
        await tell(sink, FrameType.TIMING, run=run.id, **timing)
        ended = await first(follower.follow(run), sink.heartbeat(), runs.drained.wait(), expired(until))
        if ended == 2:
            delay = random.randint(*RECONNECT_SPREAD_MS)
            await tell(sink, FrameType.RECONNECT, run=run.id, after=follower.cursor, delayMs=delay)
        if ended != 0:
            return
    except errors.VaporForgeError as error:
        await tell(sink, FrameType.ERROR, **error.body())
        if isinstance(error, errors.Unavailable):
            return
    await sink.write(b"data: [DONE]\n\n")


async def serve_relay(runs: RunService, socket: End, session: Session, until: float = NO_END) -> None:
    """A browser and its session's relay as one connection, until one of them ends, this gateway drains or the browser's
    token does, at `until`. Raises what waking the sandbox does, and `Unauthorized`."""
    sandboxes: list[Sandbox] = []

    async def wake() -> None:
        await runs.places.claim(session)
        sandboxes.append(await runs.driver.ensure(session.id))

    ended = await first(wake(), asyncio.wait((socket.lost,)), runs.drained.wait(), expired(until))
    if ended == 2:
        await socket.close(Close.GOING_AWAY)
        return
    if ended != 0:
        raise ConnectionResetError("the browser left before its sandbox was there")
    async with runs.uses.hold(session.id):
        await tunnel(socket, await runs.agent.relay(sandboxes[0]), _over(runs, until))


async def _over(runs: RunService, until: float) -> tuple[int, str]:
    """Close code and reason, once this gateway drains or the browser's token has ended."""
    try:
        await expired(until, runs.drained)
    except errors.Unauthorized as error:
        return error.close, error.code
    return Close.GOING_AWAY, ""


async def first(*works: Coroutine[Any, Any, Any]) -> int:
    """Run side by side until one ends; cancel the others; which one it was, and its error raised here.

    A peer that is gone (ConnectionError) is a normal end: -1.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for index, task in enumerate(tasks):
            if task.done():
                task.result()
                return index
    except (ConnectionError, aiohttp.ClientConnectionError):
        return -1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return -1
