"""`DynamoStore`: the store on a DynamoDB table, in AWS or on DynamoDB Local."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from gateway.config import Settings
from gateway.ids import new_id
from gateway.model import Admission, Message, NewRun, OnBusy, Page, Run, RunState, Session
from gateway.store import keys
from gateway.store.admission import Admissions
from gateway.store.audit import AuditRows
from gateway.store.birth import Birth
from gateway.store.client import RETRY_SECONDS, Table
from gateway.store.endings import Endings
from gateway.store.frames import Frames
from gateway.store.holdings import Holdings
from gateway.store.keyring import CredentialKeys, Keyring
from gateway.store.kms import wrapping_of
from gateway.store.leases import Leases
from gateway.store.lifetime import Lifetime
from gateway.store.messages import Messages
from gateway.store.places import Places
from gateway.store.pool import PoolRows
from gateway.store.quotas import Allowance, Claim, Crowd, Held, Rate, Reached
from gateway.store.rates import Rates
from gateway.store.schema import prepare
from gateway.store.sealing import Sealer
from gateway.store.sessions import Sessions
from gateway.store.stops import Stops
from gateway.store.tickets import Tickets, UserSettings
from gateway.store.usage import UsageRows


class DynamoStore:
    """A `Store` (see there for what every method promises). `clock` gives epoch seconds; an operation is tried again
    for `retry_seconds`."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._table = Table(
            settings.table, endpoint=settings.dynamodb_endpoint, region=settings.region, seconds=retry_seconds
        )
        self._create = settings.table_create
        lifetime = Lifetime(settings.message_ttl_days, clock)
        wrapping = wrapping_of(settings, self._table.offload, seconds=retry_seconds)
        self._keys = Keyring(self._table, wrapping, settings.credential_key, clock)
        self._birth = Birth(self._table, settings)
        sealer = Sealer(self._keys, clock, self._birth.sealed_since)
        self._sessions = Sessions(self._table, lifetime, sealer)
        self._messages = Messages(self._table, lifetime, sealer)
        self._leases = Leases(self._table, lifetime)
        self._frames = Frames(self._table, lifetime, self._leases, sealer)
        self._admissions = Admissions(self._table, lifetime, self._messages, self._leases)
        self._endings = Endings(self._table, lifetime, self._messages)
        self._stops = Stops(self._table, lifetime, self._leases, self._frames)
        self._tickets = Tickets(self._table)
        self._settings = UserSettings(self._table)
        self._rates = Rates(self._table)
        self._places = Places(self._table)
        self._holdings = Holdings(self._table, self._sessions)
        self.pool = PoolRows(self._table)
        self.usage = UsageRows(self._table, lifetime)
        self.audit = AuditRows(self._table)
        self.starts_named_since = 0.0

    async def open(self) -> None:
        await self._table.connect()
        await prepare(self._table, create=self._create)
        await self._birth.at()
        await self._keys.open()
        await self._birth.sealed_since()
        self.pool.since = await self._birth.pooled_since()
        self.starts_named_since = await self._birth.starts_named_since()

    async def close(self) -> None:
        self._table.close()

    @property
    def throttles(self) -> int:
        return self._table.throttles

    async def ping(self) -> None:
        await self._table.get(keys.BIRTH)

    async def born_at(self) -> float:
        return await self._birth.at()

    async def credential_keys(self, *names: str) -> CredentialKeys:
        return await self._keys.credentials(*names)

    # -- sessions ------------------------------------------------------------------------------------------------
    async def create_session(self, session: Session) -> Session:
        return await self._sessions.create(session)

    async def get_session(self, session: str) -> Session:
        return await self._sessions.get(session)

    async def list_sessions(self, owner: str, *, limit: int = 50, cursor: str | None = None) -> Page[Session]:
        return await self._sessions.page(owner, limit=limit, cursor=cursor)

    async def rename_session(self, session: str, title: str) -> Session:
        return await self._sessions.rename(session, title)

    async def set_sdk_session(self, session: str, sdk_session_id: str) -> None:
        await self._sessions.set_sdk_session(session, sdk_session_id)

    async def allow_host(self, session: str, host: str, *, most: int) -> Session:
        return await self._sessions.allow_host(session, host, most=most)

    async def disallow_host(self, session: str, host: str) -> Session:
        return await self._sessions.disallow_host(session, host)

    async def use_session(self, session: str) -> None:
        await self._sessions.use(session)

    async def begin_delete(self, session: str) -> None:
        await self._sessions.begin_delete(session)

    async def delete_session(self, session: str) -> None:
        await self._sessions.delete(session)

    # -- messages ------------------------------------------------------------------------------------------------
    async def put_message(self, message: Message) -> bool:
        stored = await self._messages.put(message, op=new_id())
        await self._sessions.settle(message.session)
        return stored

    async def list_messages(
        self, session: str, *, limit: int = 100, cursor: str | None = None, newest: bool = False
    ) -> Page[Message]:
        return await self._messages.page(session, limit=limit, cursor=cursor, newest=newest)

    async def get_message(self, session: str, message: str) -> Message | None:
        return await self._messages.get(session, message)

    # -- runs ----------------------------------------------------------------------------------------------------
    async def create_run(
        self,
        new: NewRun,
        *,
        on_busy: OnBusy,
        queue_limit: int,
        gateway: str,
        lease_seconds: float,
        allowance: Allowance | None = None,
    ) -> Admission:
        return await self._admissions.create(
            new,
            on_busy=on_busy,
            queue_limit=queue_limit,
            gateway=gateway,
            lease_seconds=lease_seconds,
            allowance=allowance,
            op=new_id(),
        )

    async def get_run(self, session: str, run: str) -> Run:
        return await self._leases.get(session, run)

    async def list_runs(self, session: str, *, limit: int = 50, cursor: str | None = None) -> Page[Run]:
        return await self._leases.page(session, limit=limit, cursor=cursor)

    async def take_lease(self, run: Run, *, gateway: str, lease_seconds: float, now: float) -> Run | None:
        return await self._leases.take(
            run, gateway=gateway, lease_seconds=lease_seconds, now=now, op=new_id()
        )

    async def renew_lease(self, run: Run, *, lease_seconds: float, now: float) -> Run | None:
        return await self._leases.renew(run, lease_seconds=lease_seconds, now=now)

    async def release_lease(self, run: Run) -> None:
        await self._leases.release(run)

    async def set_takeovers(self, run: Run, count: int) -> Run | None:
        return await self._leases.set_takeovers(run, count)

    async def mark_running(self, run: Run) -> Run | None:
        return await self._leases.mark_running(run)

    async def append_frames(
        self, run: Run, *, first: int, last: int, frames: bytes, own: bool = False
    ) -> Run | None:
        return await self._frames.append(run, first=first, last=last, frames=frames, own=own)

    async def finish_run(
        self,
        run: Run,
        *,
        state: RunState,
        reason: str,
        message: Message | None,
        gateway: str,
        lease_seconds: float,
    ) -> tuple[Run, Run | None] | None:
        return await self._endings.finish(
            run,
            state=state,
            reason=reason,
            message=message,
            gateway=gateway,
            lease_seconds=lease_seconds,
            op=new_id(),
        )

    async def request_stop(self, session: str, run: str) -> Run:
        return await self._stops.stop(session, run)

    async def expired_runs(self, *, now: float, limit: int = 25) -> Sequence[Run]:
        await self._keys.tended()  # a gateway that writes nothing sweeps all the same
        return await self._leases.expired(now=now, limit=limit)

    def read_frames(self, session: str, run: str, *, after: int = 0) -> AsyncIterator[bytes]:
        return self._frames.read(session, run, after=after)

    # -- tickets and settings --------------------------------------------------------------------------------------
    async def put_ticket(self, ticket: str, claims: dict[str, Any], *, expires_at: float) -> None:
        await self._tickets.put(ticket, claims, expires_at=expires_at)

    async def take_ticket(self, ticket: str, *, now: float) -> dict[str, Any] | None:
        return await self._tickets.take(ticket, now=now, op=new_id())

    async def get_settings(self, owner: str) -> dict[str, Any]:
        return await self._settings.get(owner)

    async def put_settings(self, owner: str, settings: dict[str, Any]) -> None:
        await self._settings.put(owner, settings)

    async def replace_settings(self, owner: str, found: dict[str, Any], settings: dict[str, Any]) -> bool:
        return await self._settings.replace(owner, found, settings)

    # -- rates and quotas ------------------------------------------------------------------------------------------
    async def count(
        self, rate: Rate, amounts: Mapping[str, int], *, now: float, always: bool = False
    ) -> Reached | None:
        return await self._rates.count(rate, amounts, now=now, always=always)

    async def give_back(self, rate: Rate, amounts: Mapping[str, int], *, counted_at: float) -> None:
        await self._rates.give_back(rate, amounts, counted_at=counted_at)

    async def held_by(self, owner: str, *, most: int = 0, stored: int = 0) -> Held:
        return await self._holdings.of(owner, most=most, stored=stored)

    async def set_stored(self, session: str, size: int) -> None:
        await self._holdings.set_stored(session, size)

    async def owners(self, sessions: Sequence[str]) -> dict[str, str]:
        return await self._holdings.owners(sessions)

    async def claim_place(self, claim: Claim, *, now: float) -> Crowd | None:
        return await self._places.claim(claim, now=now)

    async def release_place(self, session: str) -> None:
        await self._places.release(session)
