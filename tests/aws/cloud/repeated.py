"""A step that a thread of its own repeats: how stand-ins follow what AWS was told, and what has become of it."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAUSE_SECONDS: Final = 0.2


@contextlib.contextmanager
def repeated(step: Callable[[], None], name: str) -> Iterator[None]:
    """While the block runs. What a step raises ends the thread, and is raised where the block ends, also where the
    block has failed: most likely for that."""
    end = threading.Event()
    failed: list[Exception] = []

    def run() -> None:
        try:
            while not end.wait(PAUSE_SECONDS):
                step()
        except Exception as error:  # noqa: BLE001 - of whatever kind, it is the block's
            failed.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        if failed:
            raise failed[0]
