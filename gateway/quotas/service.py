"""What the gateway asks before it does something for somebody; the answer is silence or a 429 with a sentence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from gateway.concurrency.single_flight import SingleFlight
from gateway.errors import QuotaReached, SignInsLimited, TooMany
from gateway.quotas import rules
from gateway.quotas.counter import Counter
from gateway.store.quotas import MINUTE, Held

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.store import Store
    from gateway.store.quotas import Rate

SIGN_INS_AT_ONCE: Final = 8
"""Failed sign-ins that are counted at the same time; more are answered uncounted, so that they take no store's thread
from those who are signed in."""

HELD_SECONDS: Final = 8.0
"""How long counting what a user has may take: it reads many pages for those who have the most."""

CLOSE_SECONDS: Final = 1.5
"""What is counted beside what goes on is waited for so long at the end; a count gives up by itself before."""

FLUSH_BYTES: Final = 16 * 1024 * 1024
"""A model call's bytes are counted at its end, and whenever so many more have passed."""


class Quotas:
    """Rates and quotas of users. Every method returns at once where its limit is 0, and refuses nobody while the store
    is away."""

    def __init__(self, settings: Settings, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._store = store
        self._counter = Counter(store, clock)
        self._held: SingleFlight[str, Held] = SingleFlight(self._count_held)
        self._signing = 0
        self._writing: set[asyncio.Task[None]] = set()

    def prompt(self, user: str) -> Units:
        """A prompt's allowance."""
        return Units(self._counter, rules.prompts(self._settings, user), "prompts")

    async def session(self, user: str) -> None:
        """Before a session is made. Raises `RateLimited` and `QuotaReached`. Of what is held at once, those who ask at
        the same moment may go past the limit together; the rate is exact."""
        one = Units(self._counter, rules.sessions(self._settings, user), "sessions")
        await one.take()
        try:
            await self._has_room(user)
        except QuotaReached:
            await one.give_back()
            raise

    async def _has_room(self, user: str) -> None:
        most, stored = self._settings.sessions_per_user, self._settings.stored_mb_per_user
        if not (most or stored):
            return
        # Asked for together: a user who is refused and tries again and again costs one walk at a time.
        held = await self._counter.openly(self._held.ask(user), Held(0, 0), HELD_SECONDS)
        more = "" if held.whole else " or more"
        if most and held.sessions >= most:
            raise QuotaReached(
                f"You have {held.sessions} sessions{more} and may keep {most}: delete some, then start another.",
                retry_after=MINUTE,
            )
        if stored and held.stored >= stored * rules.MB:
            raise QuotaReached(
                f"Your sessions keep {held.stored // rules.MB} MB{more} of files and may keep {stored} MB: "
                "delete some sessions, then start another.",
                retry_after=MINUTE,
            )

    async def _count_held(self, user: str) -> Held:
        most, stored = self._settings.sessions_per_user, self._settings.stored_mb_per_user
        return await self._store.held_by(user, most=most, stored=stored * rules.MB)

    async def ticket(self, user: str) -> None:
        """Before a ticket is given. Raises `TooMany`: a page asks for them by itself."""
        await self._counter.take(rules.tickets(self._settings, user), {"tickets": 1}, TooMany)

    async def failed_sign_in(self, address: str, subject: str) -> None:
        """After a sign-in has failed; `subject`: who it claimed to be, if anybody. Raises `SignInsLimited`."""
        if self._signing >= SIGN_INS_AT_ONCE:
            return
        self._signing += 1
        try:
            rates = [rules.sign_ins_from(self._settings, address)]
            if subject:
                rates.append(rules.sign_ins_as(self._settings, subject))
            counts = (self._counter.take(rate, {"failures": 1}, SignInsLimited) for rate in rates)
            for result in await asyncio.gather(*counts, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
        finally:
            self._signing -= 1

    async def model_call(self, user: str) -> ModelCall:
        """Before a sandbox's request goes to the model's API. Raises `RateLimited`."""
        rate = rules.model_calls(self._settings, user)
        await self._counter.take(rate, {"calls": 1})
        return ModelCall(self, rate)

    async def egress(self, user: str) -> Traffic:
        """Before a sandbox's connection goes to a host outside. Raises `RateLimited`."""
        traffic = Traffic(self, rules.egress(self._settings, user))
        await traffic.check()
        return traffic

    async def take(self, rate: Rate, unit: str, amount: int) -> None:
        """Count it. Raises `RateLimited` instead where the limit is reached."""
        await self._counter.take(rate, {unit: amount})

    def add_later(self, rate: Rate, unit: str, amount: int) -> None:
        """Count beside what goes on."""
        task = asyncio.create_task(self._counter.add(rate, {unit: amount}))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Wait for what is counted beside what goes on; the store is closed after this."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=CLOSE_SECONDS)


class Units:
    """One unit of a rate (an `Allowance`)."""

    def __init__(self, counter: Counter, rate: Rate, unit: str) -> None:
        self._counter = counter
        self._rate = rate
        self._amounts = {unit: 1}
        self._counted_at = 0.0

    async def take(self) -> None:
        """See `Allowance`."""
        self._counted_at = await self._counter.take(self._rate, self._amounts)

    async def give_back(self) -> None:
        """See `Allowance`."""
        await self._counter.give_back(self._rate, self._amounts, self._counted_at)


class ModelCall:
    """The bytes of one request to the model's API and of its answer."""

    def __init__(self, quotas: Quotas, rate: Rate) -> None:
        self._quotas = quotas
        self._rate = rate
        self._bytes = 0

    def passed(self, chunk: bytes) -> bytes:
        """The chunk, counted."""
        self._bytes += len(chunk)
        if self._bytes >= FLUSH_BYTES:
            self.end()
        return chunk

    async def counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The chunks, counted."""
        async for chunk in chunks:
            yield self.passed(chunk)

    def end(self) -> None:
        """Count what has passed; may be called again."""
        size, self._bytes = self._bytes, 0
        if size:
            self._quotas.add_later(self._rate, "bytes", size)


class Traffic:
    """The bytes of one connection of a sandbox's to a host outside, which are cut where a limit is reached."""

    def __init__(self, quotas: Quotas, rate: Rate) -> None:
        self._quotas = quotas
        self._rate = rate
        self._bytes = 0

    async def check(self) -> None:
        """Raises `RateLimited` where the limit is reached; one byte is counted for the question."""
        await self._quotas.take(self._rate, "bytes", 1)

    async def passed(self, size: int) -> None:
        """So many bytes have passed. Raises `RateLimited` where no more may."""
        self._bytes += size
        if self._bytes >= FLUSH_BYTES:
            self.end()
            await self.check()

    def end(self) -> None:
        """Count what has passed; may be called again."""
        size, self._bytes = self._bytes, 0
        if size:
            self._quotas.add_later(self._rate, "bytes", size)
