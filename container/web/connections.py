"""The connections of an agent server: who is there, and since when nobody."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from aiohttp import web


class Connections:
    """The open WebSockets that count as somebody being there, and when the last one went."""

    def __init__(self) -> None:
        self.open: set[web.WebSocketResponse] = set()
        self.inner: set[web.WebSocketResponse] = set()
        """Those of the agent's own helpers: closed at the end like all, never a sign of a user."""
        self.working = 0
        """Requests about files that are answered just now."""
        self.busy_at = time.monotonic()

    @property
    def is_busy(self) -> bool:
        """Whether somebody is there."""
        return bool(self.open or self.working)

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Count a request while it is answered."""
        self.working += 1
        try:
            yield
        finally:
            self.working -= 1
            self.busy_at = time.monotonic()

    def touch(self) -> None:
        """Somebody has just done something."""
        self.busy_at = time.monotonic()

    @contextlib.contextmanager
    def hold(self, ws: web.WebSocketResponse, *, inner: bool = False) -> Iterator[None]:
        """Count `ws` while it is served."""
        group = self.inner if inner else self.open
        group.add(ws)
        try:
            yield
        finally:
            group.discard(ws)
            if not inner:
                self.busy_at = time.monotonic()
