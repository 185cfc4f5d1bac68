"""The driver as sessions use it: a session without a sandbox claims one of the pool, and keeps it as its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

import aiohttp

from container.protocol import POOL_PREFIX, RUN_ID
from gateway import errors
from gateway.concurrency.single_flight import SingleFlight
from gateway.ids import made_at
from gateway.sandboxes.drivers import Poolable, Sandbox, SandboxState, phase_of
from gateway.sandboxes.drivers.answers import answers_client
from gateway.sandboxes.pool.claim import send_claim
from gateway.sandboxes.pool.members import Members
from gateway.sandboxes.pool.plan import size_at
from gateway.store.pool import Member, Place, PlaceChanged, PoolRows

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.store import Store

T = TypeVar("T")
log = logging.getLogger(__name__)

TRIES: Final = 4
"""Decisions about a session's place: another gateway may decide at the same moment, or its member turn out dead."""

NEW_SECONDS: Final = 10.0
"""So long after it was made a session most likely has no place yet."""

REMEMBERED: Final = 16_384
"""Sessions whose place is remembered."""

LIVE: Final = frozenset({SandboxState.STARTING, SandboxState.RUNNING})


class PooledDriver:
    """A `Driver` around another. Where each session's sandbox is, its place, is a row in the store, decided once.

    With volumes a place is for good: the member's volumes are the session's, and `stop`, `ensure` and `delete` of the
    session are those of its member. Without volumes nothing is left of a sandbox that has ended: the session may claim
    another one. Whatever goes wrong with a claim, the sandbox is started as one without a pool would be.

    Without a pool, now or before (`PoolRows.since`), nothing is read or written, and every call is the inner driver's.
    """

    def __init__(
        self, settings: Settings, store: Store, driver: Poolable, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._schedule = settings.pool
        self._store = store
        self._driver = driver
        self._clock = clock
        self._client: aiohttp.ClientSession | None = None
        self._places: dict[str, Place] = {}
        self._started_as: dict[str, str] = {}
        """Session → under which id its sandbox is being started here."""
        self._ensures: SingleFlight[str, Sandbox] = SingleFlight(self._ensure)
        self.members = Members(driver, lambda: self._rows)

    async def ensure(self, session: str) -> Sandbox:
        """See `Driver`. Raises `SandboxUnavailable` too while the store is away and the place is not known here."""
        _check(session)
        if self._rows.since is None:
            return await self._driver.ensure(session)
        return await self._ensures.ask(session)

    async def status(self, session: str) -> Sandbox:
        """See `Driver`."""
        return replace(await self._driver.status(await self._name(session)), session=session)

    async def stop(self, session: str) -> None:
        """See `Driver`."""
        await self._driver.stop(await self._name(session))

    async def delete(self, session: str) -> None:
        """See `Driver`. The sandbox goes first: what is cut short is found again by its place."""
        _check(session)
        place = None
        if self._rows.since is not None:
            place = await self._stored(session)
        if place is not None and place.member:
            await self._driver.delete(place.member)
        if place is None or not place.member or not self._settings.keeps_files:
            await self._driver.delete(session)
        if place is not None:
            await _translated(self._rows.forget(session, place))
        elif session.startswith(POOL_PREFIX):
            await _translated(self._rows.forget_member(session))
        self._places.pop(session, None)

    async def empty(self, session: str) -> None:
        """See `Empties`. Its place stays: other gateways know it, and would start another sandbox by it."""
        _check(session)
        name = await self._name(session)
        await self._driver.delete(name)
        if name != session and not self._settings.keeps_files:
            await self._driver.delete(session)

    async def list(self) -> Sequence[Sandbox]:
        """See `Driver`. Members are hidden while they are nobody's. One that nobody can have any more is listed by its
        own id: that is no session's, so that whoever lists deletes it."""
        found = await self._driver.list()
        members = [sandbox.session for sandbox in found if sandbox.session.startswith(POOL_PREFIX)]
        if not members or self._rows.since is None:
            return found
        waiting = {member.id for member in await _translated(self._rows.members())}
        # Read behind those that wait: one that is claimed in between is among these.
        claimed = await _translated(self._rows.sessions_of([one for one in members if one not in waiting]))
        if not self._settings.keeps_files:
            found = await self._without_spare(found, frozenset(claimed.values()))
        return [
            replace(sandbox, session=claimed.get(sandbox.session, sandbox.session))
            for sandbox in found
            if sandbox.session not in waiting
        ]

    async def _without_spare(self, found: Sequence[Sandbox], claimed: frozenset[str]) -> Sequence[Sandbox]:
        """Ends the sandboxes that sessions left when they claimed a member: a driver may list a start late."""
        for sandbox in found:
            if sandbox.session in claimed:
                log.warning("session %s: has claimed a member, its own sandbox is ended", sandbox.session)
                await self._driver.delete(sandbox.session)
        return [sandbox for sandbox in found if sandbox.session not in claimed]

    def phase(self, session: str) -> str:
        """See `TellsPhase`."""
        return phase_of(self._driver, self._started_as.get(session, session))

    async def close(self) -> None:
        """See `Driver`."""
        if self._client is not None:
            await self._client.close()
            self._client = None
        await self._driver.close()

    @property
    def _rows(self) -> PoolRows:
        return self._store.pool

    # -- places --
    async def _name(self, session: str) -> str:
        """The id that the session's sandbox has at the inner driver."""
        _check(session)
        if self._rows.since is None:
            return session
        place = await self._place(session)
        return place.member if place and place.member else session

    async def _place(self, session: str) -> Place | None:
        """Where the session's sandbox is. One that is for good is not read again; any is good for as long as the store
        is away."""
        known = self._places.get(session)
        if known is not None and self._settings.keeps_files:
            return known
        try:
            place = await self._stored(session)
        except errors.SandboxUnavailable:
            if known is None:
                raise
            return known
        if place is not None:
            self._remember(session, place)
        return place

    async def _stored(self, session: str) -> Place | None:
        return await _translated(self._rows.place(session))

    def _remember(self, session: str, place: Place) -> None:
        self._places.pop(session, None)
        while len(self._places) >= REMEMBERED:
            del self._places[next(iter(self._places))]
        self._places[session] = place

    def _may_claim(self, session: str) -> bool:
        """Whether the pool is to have members now, and nobody can have started a sandbox for the session without
        leaving a row."""
        since, now = self._rows.since, self._clock()
        if since is None or not size_at(self._schedule, now, ahead=self._settings.start_seconds):
            return False
        return since <= (made_at(session) if self._settings.keeps_files else now)

    # -- start --
    async def _ensure(self, session: str) -> Sandbox:
        # A new session's place is not read before it is claimed, for it has none: were there one, the claim says so.
        is_new = session not in self._places and self._clock() - made_at(session) < NEW_SECONDS
        try:
            for tried in range(TRIES):
                try:
                    sandbox = await self._try(session, reads=tried > 0 or not is_new)
                except PlaceChanged:  # by another gateway: see what it has decided
                    self._places.pop(session, None)
                    continue
                if sandbox is not None:
                    return sandbox
        except errors.StoreUnavailable as error:
            raise _unknown(error) from error
        finally:
            self._started_as.pop(session, None)
        raise errors.SandboxUnavailable(
            f"The sandbox of session {session} was started in several places at once; send the prompt again."
        )

    async def _try(self, session: str, *, reads: bool) -> Sandbox | None:
        """The session's sandbox; None when its place is to be decided again. Raises `PlaceChanged`, also where there is
        a place that was not read (`reads`)."""
        place = await self._place(session) if reads else None
        lost = ""
        if place is not None or not self._settings.keeps_files:
            found = await self._live(session, place)
            if isinstance(found, Sandbox):
                return found
            lost = found
        elif made_at(session) < (self._rows.since or 0.0):
            return await self._driver.ensure(session)  # it is older than the pool: its own, as always
        claimed = await self.members.claim(session, before=place) if self._may_claim(session) else None
        if claimed is None:
            # Anew each time: how old the decision is says whether the driver must list what it led to.
            self._remember(session, await self._rows.place_own(session, before=place))
            sandbox = await self._driver.ensure(session)
            return replace(sandbox, lost_before=lost or sandbox.lost_before)
        member, place = claimed
        self._remember(session, place)
        log.info("session %s: has claimed %s", session, member.id)
        taken = await self._send(member, session, lost)
        if taken is not None:
            return taken
        log.warning("session %s: %s takes no claim, and is started again", session, member.id)
        if self._settings.keeps_files:
            await self._driver.stop(member.id)
        else:
            await self._driver.delete(member.id)
        return None

    async def _live(self, session: str, place: Place | None) -> Sandbox | str:
        """The session's sandbox where it is; or why the one there has ended, when it may be in another place next."""
        member = place.member if place is not None else ""
        if not self._settings.keeps_files and (member or self._schedule.largest):
            now = await self._driver.status(member or session)
            if now.state not in LIVE and not (place is not None and not member and self._is_starting(place)):
                return now.lost_reason
        if not member:
            return await self._driver.ensure(session)
        return await self._of_member(member, session)

    def _is_starting(self, place: Place) -> bool:
        """Whether the session's own sandbox was so lately about to be started that its driver may not list it yet."""
        return self._clock() - made_at(place.op) < self._settings.start_seconds

    async def _of_member(self, member: str, session: str) -> Sandbox:
        """The sandbox that the session has claimed, started where it has ended, its claim sent where nobody did: the
        gateway that made it may have died."""
        self._started_as[session] = member
        for tried in range(3):
            sandbox = await self._driver.ensure(member, occupant=session)
            if sandbox.session == session:
                return sandbox
            again = Member(
                id=member,
                fingerprint="",
                since=0.0,
                ready=True,
                host=sandbox.host,
                port=sandbox.port,
                started_at=sandbox.started_at,
            )
            claimed = await self._send(again, session)
            if claimed is not None:
                return replace(claimed, lost_before=sandbox.lost_before)
            if tried:  # it may only have been slow, and be at work for the session by now
                await self._driver.stop(member)
        raise errors.SandboxUnavailable(f"The sandbox of session {session} does not take its claim.")

    async def _send(self, member: Member, session: str, lost: str = "") -> Sandbox | None:
        if self._client is None:
            self._client = answers_client(connector=aiohttp.TCPConnector(limit=0))
        secrets = (self._settings.sandbox_secret, self._settings.sandbox_secret_accepted)
        for secret in filter(None, secrets):
            claimed = await send_claim(self._client, member, session, secret=secret, lost_reason=lost)
            if claimed is not None:
                return claimed
        return None


def _check(session: str) -> None:
    if not RUN_ID.fullmatch(session):
        raise errors.BadRequest("The session's id is malformed.", field="sessionId")


def _unknown(error: errors.StoreUnavailable) -> errors.SandboxUnavailable:
    return errors.SandboxUnavailable(f"Where the session's sandbox is cannot be read: {error}")


async def _translated(asked: Awaitable[T]) -> T:
    """What a driver's caller knows of a store that is away."""
    try:
        return await asked
    except errors.StoreUnavailable as error:
        raise _unknown(error) from error
