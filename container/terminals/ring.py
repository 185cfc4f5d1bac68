"""The newest bytes of an output, each at its offset from the output's beginning. Pure."""

from __future__ import annotations


class Ring:
    """`start`: offset of the oldest byte that is kept; `end`: of the next one to come. It grows up to `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.end = 0
        self._data = bytearray()

    @property
    def start(self) -> int:
        return self.end - len(self._data)

    def append(self, data: bytes) -> None:
        """Keep `data`, in place of the oldest bytes where there is no more room."""
        at = self.end % self.size
        self.end += len(data)
        if len(data) > self.size:
            at = (at + len(data)) % self.size
            data = data[-self.size :]
            self._data.extend(bytes(self.size - len(self._data)))
        ahead = data[: self.size - at]
        self._data[at : at + len(ahead)] = ahead
        self._data[: len(data) - len(ahead)] = data[len(ahead) :]

    def read(self, offset: int, most: int) -> bytes:
        """At most `most` bytes from `offset` on, which must be one from `start` to `end`."""
        if not self.start <= offset <= self.end:
            raise ValueError(f"offset {offset} is not from {self.start} to {self.end}")
        count = min(most, self.end - offset)
        at = offset % self.size
        ahead = bytes(self._data[at : at + count])
        return ahead + bytes(self._data[: count - len(ahead)])
