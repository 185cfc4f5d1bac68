"""What a driver does is in the audit, once, and it stays the driver that it is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.audit.ledger import Audit
from gateway.errors import SandboxUnavailable
from gateway.sandboxes.drivers import Joins, Poolable, Sandbox, SandboxState, TellsPhase, phase_of
from gateway.sandboxes.drivers.audited import audited
from tests.gateway.fakes import FakeDriver


class Inner:
    """A driver whose sandbox began at `started_at`. `broken`: raised by every act."""

    def __init__(self) -> None:
        self.started_at = time.time()
        self.broken: SandboxUnavailable | None = None

    def _act(self) -> None:
        if self.broken is not None:
            raise self.broken

    async def ensure(self, session: str) -> Sandbox:
        self._act()
        return Sandbox(session=session, state=SandboxState.RUNNING, started_at=self.started_at)

    async def status(self, session: str) -> Sandbox:
        return await self.ensure(session)

    async def stop(self, _session: str) -> None:
        self._act()

    async def delete(self, _session: str) -> None:
        self._act()

    async def list(self) -> list[Sandbox]:
        return []

    async def close(self) -> None:
        """Nothing."""

    def phase(self, session: str) -> str:
        return f"phase of {session}"

    joined = 0

    async def join(self) -> None:
        self.joined += 1


class InnerPoolable(Inner):
    async def ensure(self, session: str, *, occupant: str = "") -> Sandbox:
        return await super().ensure(occupant or session)

    async def fingerprint(self) -> str:
        return "f"


class Recorded(Audit):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(None, gateway="g", secret="s" * 32, days=1)  # type: ignore[arg-type]
        self.told: list[tuple[str, str, str]] = []

    def record(self, kind: str, *, session: str = "", outcome: str = "ok", **_: Any) -> None:
        self.told.append((kind, session, outcome))


@pytest.mark.parametrize("inner", [Inner, InnerPoolable])
async def test_starts_stops_and_deletions_are_recorded_once(inner: type[Inner]) -> None:
    audit = Recorded()
    driver = audited(inner(), audit)
    assert (await driver.ensure("s1")).session == "s1"
    await driver.ensure("s1")
    await driver.stop("s1")
    await driver.delete("s1")
    assert audit.told == [
        ("sandbox-start", "s1", "ok"),
        ("sandbox-stop", "s1", "ok"),
        ("sandbox-delete", "s1", "ok"),
    ]


async def test_a_sandbox_that_ran_already_is_no_start() -> None:
    audit, inner = Recorded(), Inner()
    inner.started_at = time.time() - 60
    await audited(inner, audit).ensure("s1")
    assert audit.told == []


async def test_what_failed_is_recorded_with_its_code_and_raised() -> None:
    audit, inner = Recorded(), InnerPoolable()
    driver = audited(inner, audit)
    inner.broken = SandboxUnavailable("away")
    for act in (driver.ensure, driver.stop, driver.delete):
        with pytest.raises(SandboxUnavailable):
            await act("s1")
    kinds = ("sandbox-start", "sandbox-stop", "sandbox-delete")
    assert audit.told == [(kind, "s1", "sandbox-unavailable") for kind in kinds]


async def test_it_is_poolable_where_the_driver_is_and_tells_its_phases() -> None:
    plain, poolable = audited(Inner(), Recorded()), audited(InnerPoolable(), Recorded())
    assert not isinstance(plain, Poolable)
    assert isinstance(poolable, Poolable)
    assert (await poolable.ensure("pool-1", occupant="s1")).session == "s1"
    assert await poolable.fingerprint() == "f"
    assert isinstance(plain, TellsPhase)
    assert phase_of(plain, "s1") == "phase of s1"


async def test_it_joins_networks_where_the_driver_does() -> None:
    inner = Inner()
    driver = audited(inner, Recorded())
    assert isinstance(driver, Joins)
    await driver.join()
    assert inner.joined == 1
    await audited(FakeDriver(), Recorded()).join()  # type: ignore[arg-type, attr-defined]
