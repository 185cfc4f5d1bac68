"""A WebSocket reader of a run: what its log holds after a cursor, `replay-complete`, then what comes, to its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import WSMsgType, web

from container.protocol import MAX_BATCH_BYTES, PING_SECONDS, Close, FrameType, encode
from container.runs.run import Run
from container.web.outgoing import Outgoing

log = logging.getLogger(__name__)

STALL_SECONDS: Final = 60.0
"""A reader that takes nothing for this long is closed with 1013; it resumes with its cursor."""

TICK_SECONDS: Final = 5.0
"""How often a reader's ping and stall are looked at."""

RECORDED_SECONDS: Final = 10.0
"""How long a recorder has, behind the last frame, to say that it has everything."""

WRITE_BYTES: Final = 64 * 1024
"""Frames that go out one a message are written together up to this many bytes."""

_PING: Final = encode({"type": FrameType.PING})


class Reader:
    """Reads a run's log at its own pace: there is no queue, so a slow one costs nothing but its place in the log.

    One task sends, one receives. `batch`: several frames in a message whenever more than
    one waits. `recorder`: one that says up to where it has recorded; it is not closed before it has said so of the end.
    """

    def __init__(
        self,
        ws: web.WebSocketResponse,
        out: Outgoing,
        run: Run,
        after: int,
        *,
        batch: bool,
        recorder: bool,
    ) -> None:
        self._ws = ws
        self._out = out
        self._run = run
        self._after = after
        self._replay_to = run.frames.last
        self._batch = batch
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._is_sending = False
        self._ping_due = False
        self._status_seen = 0 if run.status_lasts else run.status[0]
        self._stalled: asyncio.Future[None] = self._loop.create_future()

    async def serve(self, on_recorded: Callable[[int], None]) -> None:
        """Serve the reader until the run's end, its own going, or a stall; then close the WebSocket."""
        self._run.readers += 1
        tasks: list[asyncio.Future[None]] = [
            asyncio.create_task(self._send_all(), name=f"reader-{self._run.id}"),
            asyncio.create_task(self._receive(on_recorded), name=f"receiver-{self._run.id}"),
            self._stalled,
        ]
        ticker = asyncio.create_task(self._watch())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*tasks, ticker):
                task.cancel()
            await asyncio.gather(*tasks, ticker, return_exceptions=True)
            self._run.readers -= 1
            if self._run.is_final and not self._run.readers:
                self._run.frames.close()
        if self._stalled in done:
            await self._give_up()

    async def _receive(self, on_recorded: Callable[[int], None]) -> None:
        async for message in self._ws:
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                said = json.loads(message.data)
            except (ValueError, RecursionError):
                continue
            if not isinstance(said, dict) or said.get("type") != "recorded":
                continue
            seq = said.get("seq")
            if type(seq) is int and seq >= 0:
                on_recorded(seq)
                if self._run.is_final:
                    self._run.wake()

    async def _send_all(self) -> None:
        try:
            await self._send_frames()
        except ConnectionError:
            return  # it went away
        if self._recorder:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECORDED_SECONDS):
                    while self._run.recorded < self._run.frames.last:
                        await self._run.changed()
        await self._ws.close(code=Close.OK)

    async def _send_frames(self) -> None:
        run, is_replay = self._run, True
        most = MAX_BATCH_BYTES if self._batch else WRITE_BYTES
        while True:
            if self._status_seen != run.status[0]:
                self._status_seen = run.status[0]
                await self._send(run.status[1])
            frames, last = run.frames.read(self._after, most)
            if frames:
                await self._sent(self._out.message(frames) if self._batch else self._out.messages(frames))
                self._after = last
                if len(frames) > most // 2:
                    await asyncio.sleep(0)  # a long replay takes turns with what is live
            if is_replay and self._after >= self._replay_to:
                is_replay = False
                await self._send(encode({"type": FrameType.REPLAY_COMPLETE, "after": self._after}))
                await self._send(encode({"type": FrameType.TIMING, **run.timing}))
            if self._after < run.frames.last:
                continue
            if run.is_final:
                return
            if self._ping_due:
                self._ping_due = False
                await self._send(_PING)
                continue
            await run.changed()

    async def _send(self, message: bytes) -> None:
        await self._sent(self._out.message(message))

    async def _sent(self, sending: Awaitable[None]) -> None:
        self._is_sending = True
        await sending
        self._is_sending = False
        self._sent_at = self._loop.time()

    async def _watch(self) -> None:
        """Ask for a `ping` when nothing else was sent, and tell a stall."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            quiet = self._loop.time() - self._sent_at
            if self._is_sending and quiet > STALL_SECONDS:
                log.warning(
                    "a reader of run %s took nothing for %d s at frame %d", self._run.id, quiet, self._after
                )
                self._stalled.set_result(None)
                return
            if not self._is_sending and quiet >= PING_SECONDS - TICK_SECONDS / 2:
                self._ping_due = True
                self._run.wake()

    async def _give_up(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(1):
                await self._ws.close(code=Close.TRY_AGAIN, message=b"too slow")
        self._out.abort()  # what waits for one that takes nothing would wait for ever
