"""A step that a thread of its own repeats: how stand-ins follow what AWS was told, and what has become of it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Self

from botocore import exceptions

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_SECONDS: Final = 0.2

PATIENCE_SECONDS: Final = 60.0
"""How long every step may fail by what passes."""


class Repeated:
    """Use it as a context manager: while the block runs, `step` is repeated.

    A step may end halfway by what passes, and is then done again. Whatever else it raises ends the thread, and is
    raised where the block ends, also where the block has failed: most likely for that."""

    def __init__(self, step: Callable[[], None], name: str, patience: float = PATIENCE_SECONDS) -> None:
        self._step = step
        self._patience = patience
        self._ended = threading.Event()
        self._failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name)

    def check(self) -> None:
        """Raises `RuntimeError` with what has ended the steps: who waits for what they do waits in vain."""
        if self._failed is not None:
            raise RuntimeError(f"{self._thread.name} has ended: {self._failed!r}") from self._failed

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.check()

    def _run(self) -> None:
        failing_since: float | None = None
        while not self._ended.wait(PAUSE_SECONDS):
            try:
                self._step()
            except Exception as error:  # noqa: BLE001 - of whatever kind, it is the block's
                now = time.monotonic()
                failing_since = failing_since or now
                if not _passes(error) or now - failing_since >= self._patience:
                    self._failed = error
                    return
            else:
                failing_since = None


def _passes(error: Exception) -> bool:
    """Whether the next step may do better: somebody did not answer in time or at all, the engine among them, or what
    was asked for has gone between two questions."""
    if isinstance(error, exceptions.ClientError):
        gone = error.response["Error"]["Code"].endswith(("NotFound", "NotFoundException"))
        return gone or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    return isinstance(error, (OSError, exceptions.ConnectionError, exceptions.HTTPClientError))
