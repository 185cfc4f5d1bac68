"""Strikes the credential from answers: an API, or a proxy before it, that echoes its request would give it away."""

from __future__ import annotations

from typing import Final

LEAST: Final = 12
"""Characters of a credential that is struck: a shorter one is none of a real API, and would be found everywhere."""

MARK: Final = b"*"


class Redactor:
    """One answer's. Each byte of the credential becomes `*`, so that lengths stay what the answer's head says."""

    def __init__(self, credential: str) -> None:
        key = credential.encode()
        self._key = key if len(key) >= LEAST else b""
        self._mask = MARK * len(self._key)
        self._kept = b""
        self.found = 0
        """How often it was struck."""

    def text(self, value: str) -> str:
        """A header's value without it."""
        if not self._key:
            return value
        return self._struck(value.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def feed(self, chunk: bytes) -> bytes:
        """What of the answer may be handed on now: all but a tail that may be the beginning of the credential."""
        if not self._key:
            return chunk
        data = self._struck(self._kept + chunk if self._kept else chunk)
        kept = self._unsettled(data)
        if not kept:
            self._kept = b""
            return data
        self._kept = data[-kept:]
        return data[:-kept]

    def rest(self) -> bytes:
        """What is left at the answer's end."""
        rest, self._kept = self._kept, b""
        return rest

    def _struck(self, data: bytes) -> bytes:
        if self._key not in data:
            return data
        self.found += data.count(self._key)
        return data.replace(self._key, self._mask)

    def _unsettled(self, data: bytes) -> int:
        """Length of the longest end of `data` that is a beginning of the credential, but not all of it."""
        begin = max(0, len(data) - len(self._key) + 1)
        while (begin := data.find(self._key[:1], begin)) >= 0:
            if self._key.startswith(data[begin:]):
                return len(data) - begin
            begin += 1
        return 0
