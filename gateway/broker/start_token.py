"""Whose request it is: a key of one start of a sandbox, good for as long as that start runs, and seconds longer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from container.protocol import session_of_token, start_of_token
from gateway import errors
from gateway.concurrency.single_flight import SingleFlight

if TYPE_CHECKING:
    from gateway.config import Settings

log = logging.getLogger(__name__)

FRESH_SECONDS: Final = 5.0
"""What a driver said counts for so long: a key is dead so much later than its sandbox, at the latest."""

LOOK_SECONDS: Final = 2.5
"""How often the drivers are asked about all sessions that called just now, at once: ECS takes a hundred in one request,
and no call waits for it."""

DOUBT_SECONDS: Final = 1.0
"""Before a key is refused the driver is asked once more; who shows a dead one again and again waits for it."""

AWAY_SECONDS: Final = 60.0
"""While the driver does not answer, its last word counts for so long: an update of the launcher is not noticed."""

KNOWN: Final = 4096
"""Sessions of which the driver's word is kept."""


class Started(Protocol):
    """A sandbox as its driver tells it (`Sandbox`)."""

    @property
    def state(self) -> str: ...

    @property
    def start(self) -> str: ...


Look = Callable[[str], Awaitable[Started]]
"""A session's sandbox now. Raises `errors.Unavailable`."""


def starts_of(settings: Settings, look: Look) -> Starts:
    """By the secrets of the gateway's settings."""
    secrets = (settings.sandbox_secret, settings.sandbox_secret_accepted)
    return Starts([secret.encode() for secret in secrets if secret], look)


@dataclass(slots=True)
class _Word:
    """`start`: that which runs, None when none does. `at`: when the driver said so; `used`: when it was last asked for,
    both on the monotonic clock."""

    start: str | None
    at: float
    used: float


class Starts:
    """Authenticates sandboxes, by what their driver says of them."""

    def __init__(
        self, secrets: Sequence[bytes], look: Look, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`secrets`: those that sandboxes' tokens may be derived from; more than one while it is rotated."""
        self._secrets = secrets
        self._look = look
        self._clock = clock
        self._words: dict[str, _Word] = {}
        self._asking: SingleFlight[str, _Word] = SingleFlight(self._ask)

    async def session_of(self, token: str) -> str:
        """The session that this key's sandbox is of. Raises `Unauthorized` for what is no key, or one whose start has
        ended, and `Unavailable` when nobody can say.

        A sandbox that was started without a name, by a gateway of a version before, shows its own token; that is taken
        from it until it ends, and from no other."""
        found = next(filter(None, (self._read(secret, token) for secret in self._secrets)), None)
        if found is None:
            raise errors.Unauthorized("The broker takes the key that it gave this sandbox, and this is none.")
        session, start = found
        if await self._runs(session) == start or await self._runs(session, doubted=True) == start:
            return session
        raise errors.Unauthorized("This key is of a start of the sandbox that has ended.")

    async def look_forever(self) -> None:
        """Keep what is asked for fresh, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            since = self._clock() - FRESH_SECONDS
            lately = [session for session, word in self._words.items() if word.used >= since]
            await asyncio.gather(*(self._asking.ask(one) for one in lately), return_exceptions=True)

    @staticmethod
    def _read(secret: bytes, token: str) -> tuple[str, str] | None:
        own = session_of_token(secret, token)
        return start_of_token(secret, token) if own is None else (own, "")

    async def _runs(self, session: str, *, doubted: bool = False) -> str | None:
        """The start that runs. `doubted`: as the driver says it from now on, though not at once."""
        now = self._clock()
        word = self._words.get(session)
        if doubted and word is not None and (pause := word.at + DOUBT_SECONDS - now) > 0:
            await asyncio.sleep(pause)
            word = self._words.get(session)
        if word is None or (word.at <= now if doubted else now - word.at >= FRESH_SECONDS):
            try:
                word = await self._asking.ask(session)
            except errors.Unavailable as error:
                if word is None or now - word.at >= AWAY_SECONDS:
                    raise errors.Unavailable(
                        "The broker cannot find out whether this sandbox runs; try again."
                    ) from error
                log.warning("session %s: what its driver said last counts: %s", session, error.message)
        word.used = now
        return word.start

    async def _ask(self, session: str) -> _Word:
        now = self._clock()
        sandbox = await self._look(session)
        before = self._words.pop(session, None)
        while len(self._words) >= KNOWN:
            del self._words[next(iter(self._words))]
        runs = sandbox.state in ("starting", "running")
        word = _Word(sandbox.start if runs else None, now, before.used if before else 0.0)
        self._words[session] = word
        return word
