"""A driver whose starts, stops and deletions are recorded in the audit."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from gateway.audit.ledger import Audit
from gateway.errors import VaporForgeError
from gateway.sandboxes.drivers import Driver, Joins, Poolable, Sandbox, phase_of

SKEW_SECONDS: Final = 2.0
"""How far the clock of whoever starts sandboxes may be behind this gateway's."""

MOST_STARTS: Final = 4096
"""Starts that are remembered, so that none is recorded twice."""


class AuditedDriver:
    """A `Driver` around another one. `ensure` returns what runs, or starts it: a start is recorded where the sandbox
    began after it was asked for. Of several gateways that asked for it at once, each says so."""

    def __init__(self, inner: Driver, audit: Audit) -> None:
        self._inner = inner
        self._audit = audit
        self._starts: OrderedDict[tuple[str, float], None] = OrderedDict()

    async def ensure(self, session: str) -> Sandbox:
        """See `Driver`."""
        asked = time.time()
        try:
            sandbox = await self._inner.ensure(session)
        except VaporForgeError as error:
            self._audit.record("sandbox-start", session=session, outcome=error.code)
            raise
        self._note_start(session, sandbox, asked)
        return sandbox

    async def status(self, session: str) -> Sandbox:
        """See `Driver`."""
        return await self._inner.status(session)

    async def stop(self, session: str) -> None:
        """See `Driver`."""
        try:
            await self._inner.stop(session)
        except VaporForgeError as error:
            self._audit.record("sandbox-stop", session=session, outcome=error.code)
            raise
        self._audit.record("sandbox-stop", session=session)

    async def delete(self, session: str) -> None:
        """See `Driver`."""
        try:
            await self._inner.delete(session)
        except VaporForgeError as error:
            self._audit.record("sandbox-delete", session=session, outcome=error.code)
            raise
        self._audit.record("sandbox-delete", session=session)

    async def list(self) -> Sequence[Sandbox]:
        """See `Driver`."""
        return await self._inner.list()

    async def close(self) -> None:
        """See `Driver`."""
        await self._inner.close()

    def phase(self, session: str) -> str:
        """See `TellsPhase`."""
        return phase_of(self._inner, session)

    async def join(self) -> None:
        """See `Joins`; nothing where the driver's sandboxes are on no networks of their own."""
        if isinstance(self._inner, Joins):
            await self._inner.join()

    def _note_start(self, session: str, sandbox: Sandbox, asked: float) -> None:
        start = (session, sandbox.started_at)
        if sandbox.started_at < asked - SKEW_SECONDS or start in self._starts:
            return
        self._starts[start] = None
        while len(self._starts) > MOST_STARTS:
            self._starts.popitem(last=False)
        self._audit.record("sandbox-start", session=session)


class AuditedPoolable(AuditedDriver):
    """The same around a driver whose sandboxes can be pooled."""

    def __init__(self, inner: Poolable, audit: Audit) -> None:
        super().__init__(inner, audit)
        self._poolable = inner

    async def ensure(self, session: str, *, occupant: str = "") -> Sandbox:
        """See `Poolable`."""
        asked = time.time()
        try:
            sandbox = await self._poolable.ensure(session, occupant=occupant)
        except VaporForgeError as error:
            self._audit.record("sandbox-start", session=session, outcome=error.code)
            raise
        self._note_start(session, sandbox, asked)
        return sandbox

    async def fingerprint(self) -> str:
        """See `Poolable`."""
        return await self._poolable.fingerprint()


def audited(driver: Driver, audit: Audit) -> Driver:
    """`driver`, with what it does recorded."""
    return AuditedPoolable(driver, audit) if isinstance(driver, Poolable) else AuditedDriver(driver, audit)
