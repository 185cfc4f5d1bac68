"""The session's relay: what one peer sends, text or binary, every other peer gets."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import WSMsgType, web

from container.protocol import Close

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""Longest message of a peer."""

MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""A peer with more than this waiting is too slow and is closed with 1013."""


class _Peer:
    def __init__(self, ws: web.WebSocketResponse) -> None:
        self.ws = ws
        self.waiting: asyncio.Queue[tuple[WSMsgType, bytes]] = asyncio.Queue()
        self.waiting_bytes = 0
        self.too_slow = asyncio.Event()


class Relay:
    """The hub. Nobody waits for a slow peer: each has a bounded buffer and a sender of its own."""

    def __init__(self) -> None:
        self._peers: set[_Peer] = set()

    async def serve(self, ws: web.WebSocketResponse) -> None:
        """Take `ws` as a peer until it goes or is too slow."""
        peer = _Peer(ws)
        self._peers.add(peer)
        sender = asyncio.create_task(self._send_all(peer), name="relay-sender")
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    self._broadcast(peer, WSMsgType.TEXT, message.data.encode())
                elif message.type is WSMsgType.BINARY:
                    self._broadcast(peer, WSMsgType.BINARY, message.data)
        finally:
            self._peers.discard(peer)
            sender.cancel()
            await asyncio.wait([sender])

    def _broadcast(self, origin: _Peer, kind: WSMsgType, data: bytes) -> None:
        for peer in self._peers:
            if peer is origin or peer.too_slow.is_set():
                continue
            if peer.waiting_bytes + len(data) > MAX_WAITING_BYTES:
                peer.too_slow.set()
                peer.waiting.put_nowait((WSMsgType.CLOSE, b""))
                continue
            peer.waiting_bytes += len(data)
            peer.waiting.put_nowait((kind, data))

    async def _send_all(self, peer: _Peer) -> None:
        sending = asyncio.create_task(self._pump(peer))
        slow = asyncio.create_task(peer.too_slow.wait())
        try:
            await asyncio.wait([sending, slow], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            slow.cancel()
        if peer.too_slow.is_set():
            log.warning("a relay peer left more than %d bytes waiting: closed", MAX_WAITING_BYTES)
            await peer.ws.close(code=Close.TRY_AGAIN, message=b"too slow")

    async def _pump(self, peer: _Peer) -> None:
        try:
            while True:
                kind, data = await peer.waiting.get()
                await peer.ws.send_frame(data, kind)
                peer.waiting_bytes -= len(data)
        except ConnectionError:
            return
