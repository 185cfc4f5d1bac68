"""`DynamoStore`: the store on a DynamoDB table, in AWS or on DynamoDB Local."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from gateway.config import Settings
from gateway.ids import new_id
from gateway.model import Admission, Message, NewRun, OnBusy, Page, Run, RunState, Session
from gateway.store import keys
from gateway.store.admission import Admissions
from gateway.store.audit import AuditRows
from gateway.store.client import RETRY_SECONDS, Table
from gateway.store.endings import Endings
from gateway.store.frames import Frames
from gateway.store.holdings import Holdings
from gateway.store.keyring import CredentialKeys, Keyring
from gateway.store.leases import Leases
from gateway.store.lifetime import Lifetime
from gateway.store.messages import Messages
from gateway.store.places import Places
from gateway.store.pool import SETTLE_SECONDS, PoolRows
from gateway.store.quotas import Allowance, Claim, Crowd, Held, Rate, Reached
from gateway.store.rates import Rates
from gateway.store.requests import ConditionFailed, put, update
from gateway.store.schema import prepare
from gateway.store.sealing import Sealer
from gateway.store.sessions import Sessions
from gateway.store.stops import Stops
from gateway.store.tickets import Tickets, UserSettings
from gateway.store.usage import UsageRows
from gateway.store.wrapping import StackKey

log = logging.getLogger(__name__)


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
        wrapping = StackKey(settings.credential_key, settings.credential_key_accepted)
        self._keys = Keyring(self._table, wrapping, settings.credential_key, clock)
        self._encrypts = settings.encrypt
        self._encrypts_since: float | None = None
        sealer = Sealer(self._keys, clock, self._sealed_since)
        self._sessions = Sessions(self._table, lifetime)
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
        self._pools = settings.pool.largest > 0
        # A gateway that is protected while it records runs goes on serving beside its successors for so long.
        self._settle = SETTLE_SECONDS + (settings.protect_minutes * 60 if settings.driver == "ecs" else 0)
        self.pool = PoolRows(self._table)
        self.usage = UsageRows(self._table, lifetime)
        self.audit = AuditRows(self._table)
        self.starts_named_since = 0.0

    async def open(self) -> None:
        await self._table.connect()
        await prepare(self._table, create=self._create)
        await self._began()
        await self._keys.open()
        await self._sealed_since()
        self.pool.since = await self._pooled_since()
        self.starts_named_since = await self._starts_named_since()

    async def close(self) -> None:
        self._table.close()

    @property
    def throttles(self) -> int:
        return self._table.throttles

    async def ping(self) -> None:
        await self._table.get(keys.BIRTH)

    async def born_at(self) -> float:
        return await self._began()

    async def _began(self) -> float:
        """Read the mark of this table's beginning; the first gateway that opens the table sets it."""
        found = await self._table.get(keys.BIRTH)
        if found is None:
            pk, sk = keys.BIRTH
            mark = {"pk": pk, "sk": sk, "born_at": time.time(), "starts_named_since": 0.0}
            if self._pools:
                mark["pooled_since"] = 0.0  # no gateway without a pool has ever opened it
            if self._encrypts:
                mark["encrypted_since"] = 0.0  # nor one that cannot read what is encrypted
            try:
                await self._table.write(put(mark, "attribute_not_exists(#pk)"))
            except ConditionFailed:
                log.info("another gateway opened the new table first")
            found = await self._table.get(keys.BIRTH)
        return float(found["born_at"]) if found is not None else time.time()

    async def _starts_named_since(self) -> float:
        """See `Store.starts_named_since`; the first gateway that names starts sets it."""
        found = await self._table.get(keys.BIRTH) or {}
        if "starts_named_since" not in found:
            found = await self._table.write(
                update(
                    keys.BIRTH,
                    "SET #starts_named_since = if_not_exists(#starts_named_since, :since)",
                    "attribute_exists(#pk)",
                    since=time.time() + self._settle,
                )
            )
        return float(found["starts_named_since"])

    async def _pooled_since(self) -> float | None:
        """See `PoolRows.since`; the first gateway with a pool sets it."""
        found = await self._table.get(keys.BIRTH) or {}
        if self._pools and "pooled_since" not in found:
            found = await self._table.write(
                update(
                    keys.BIRTH,
                    "SET #pooled_since = if_not_exists(#pooled_since, :since)",
                    "attribute_exists(#pk)",
                    since=time.time() + self._settle,
                )
            )
        return float(found["pooled_since"]) if "pooled_since" in found else None

    async def _sealed_since(self) -> float | None:
        """From when on bodies are encrypted; None where they are not. In a table of an earlier version, whose gateways
        serve for a while beside their successors, the first gateway that encrypts sets it to a time behind that."""
        if not self._encrypts:
            return None
        if self._encrypts_since is None:
            await self._began()
            found = await self._table.write(
                update(
                    keys.BIRTH,
                    "SET #encrypted_since = if_not_exists(#encrypted_since, :since)",
                    "attribute_exists(#pk)",
                    since=time.time() + self._settle,
                )
            )
            self._encrypts_since = float(found["encrypted_since"])
        return self._encrypts_since

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
