"""What every driver must do: a suite that each implementation's test class inherits, with its own `bench` fixture."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import aiohttp
import pytest

from container.protocol import sandbox_token
from gateway import errors
from gateway.concurrency.backoff import Backoff
from gateway.ids import new_id
from gateway.sandboxes.drivers import NamesStarts, Sandbox, SandboxState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway.config import Settings
    from gateway.sandboxes.drivers import Driver

T = TypeVar("T")
ABSENT, RUNNING, STOPPED = SandboxState.ABSENT, SandboxState.RUNNING, SandboxState.STOPPED
END_SECONDS = 60


class Bench(Protocol):
    """An implementation under test, and a way to look at it from outside."""

    settings: Settings

    def driver(self) -> Driver:
        """A driver as a further gateway has it; the bench closes it."""

    def driver_of_failing(self) -> Driver:
        """One whose sandboxes end as soon as they start."""

    async def kill(self, session: str) -> None:
        """SIGKILL to the agent server."""

    async def alive(self, session: str) -> int:
        """How many processes or containers run for the session."""

    async def leftovers(self, session: str) -> Sequence[str]:
        """Everything of the session that is still there."""


class Probe:
    """Asks agent servers directly."""

    def __init__(self, http: aiohttp.ClientSession, secret: str) -> None:
        self._http = http
        self._secret = secret.encode()

    def headers(self, session: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {sandbox_token(self._secret, session)}"}

    async def ping(self, sandbox: Sandbox) -> dict[str, Any]:
        async with self._http.get(f"{sandbox.url}/ping", headers=self.headers(sandbox.session)) as response:
            assert response.status == 200
            body: dict[str, Any] = await response.json()
            return body

    async def write(self, sandbox: Sandbox, path: str, content: bytes) -> None:
        headers = self.headers(sandbox.session)
        async with self._http.put(f"{sandbox.url}/files/{path}", data=content, headers=headers) as response:
            assert response.status < 300, await response.text()

    async def read(self, sandbox: Sandbox, path: str, *, token_of: str = "") -> tuple[int, bytes]:
        headers = self.headers(token_of or sandbox.session)
        async with self._http.get(f"{sandbox.url}/files/{path}", headers=headers) as response:
            return response.status, await response.read()


@pytest.fixture
async def probe(bench: Bench) -> AsyncIterator[Probe]:
    """A client of the bench's sandboxes."""
    async with aiohttp.ClientSession() as http:
        yield Probe(http, bench.settings.sandbox_secret)


@pytest.fixture
async def session(bench: Bench) -> AsyncIterator[str]:
    """A session that nobody knew before; nothing of it is left behind."""
    session = new_id()
    yield session
    await bench.driver().delete(session)
    assert await bench.leftovers(session) == []


async def until_stopped(driver: Driver, session: str) -> Sandbox:
    """The sandbox once its end has been noticed."""
    pauses = Backoff(first=0.01, most=0.1)
    async with asyncio.timeout(END_SECONDS):
        sandbox = await driver.status(session)
        while sandbox.state is not STOPPED:
            await asyncio.sleep(pauses.next())
            sandbox = await driver.status(session)
    return sandbox


async def eventually(look: Callable[[], T]) -> T:
    """What `look` finds, once it finds anything."""
    pauses = Backoff(first=0.01, most=0.1)
    async with asyncio.timeout(END_SECONDS):
        found = look()
        while not found:
            await asyncio.sleep(pauses.next())
            found = look()
    return found


class DriverConformance:
    """The rows of the table in `Driver`'s docstring."""

    async def test_ensure_starts_a_sandbox_that_answers(
        self, bench: Bench, probe: Probe, session: str
    ) -> None:
        sandbox = await bench.driver().ensure(session)
        assert sandbox.state is RUNNING
        assert sandbox.started_at > 0
        assert sandbox.lost_reason == ""
        assert (await probe.ping(sandbox))["session"] == session

    async def test_ensure_returns_what_runs(self, bench: Bench, session: str) -> None:
        driver = bench.driver()
        first = await driver.ensure(session)
        assert await driver.ensure(session) == first
        assert await driver.status(session) == first

    async def test_each_start_has_a_name_of_its_own_which_all_are_told(
        self, bench: Bench, session: str
    ) -> None:
        driver = bench.driver()
        await driver.ensure(session)
        first = await driver.status(session)
        assert first.start
        assert [one.start for one in await driver.list() if one.session == session] == [first.start]
        await driver.stop(session)
        assert (await driver.status(session)).start in ("", first.start)
        await bench.driver().ensure(session)
        assert (await driver.status(session)).start not in ("", first.start)

    async def test_ensure_side_by_side_starts_one(self, bench: Bench, session: str) -> None:
        one, other = bench.driver(), bench.driver()
        found = await asyncio.gather(*(driver.ensure(session) for driver in [one, other] * 4))
        assert len(set(found)) == 1
        assert await bench.alive(session) == 1

    async def test_absent_is_told_and_left_alone(self, bench: Bench, session: str) -> None:
        driver = bench.driver()
        assert (await driver.status(session)).state is ABSENT
        await driver.stop(session)
        await driver.delete(session)
        assert await bench.leftovers(session) == []

    async def test_found_again_after_a_restart(self, bench: Bench, session: str) -> None:
        before = bench.driver()
        sandbox = await before.ensure(session)
        await before.close()
        await before.close()
        after = bench.driver()
        assert await after.status(session) == sandbox
        assert await after.ensure(session) == sandbox

    async def test_stop_twice_then_wake_with_the_workspace(
        self, bench: Bench, probe: Probe, session: str
    ) -> None:
        driver = bench.driver()
        await probe.write(await driver.ensure(session), "notes/a.txt", b"kept")
        await driver.stop(session)
        assert await bench.alive(session) == 0
        await driver.stop(session)
        stopped = await driver.status(session)
        assert (stopped.state, stopped.lost_reason) == (STOPPED, "")
        woken = await driver.ensure(session)
        assert (await probe.read(woken, "notes/a.txt") == (200, b"kept")) is bench.settings.keeps_files
        assert woken.fresh is not bench.settings.keeps_files
        assert (await probe.ping(woken))["lostReason"] == ""

    async def test_killed_is_told_and_woken_with_the_workspace(
        self, bench: Bench, probe: Probe, session: str
    ) -> None:
        driver = bench.driver()
        await probe.write(await driver.ensure(session), "a.txt", b"kept")
        await bench.kill(session)
        assert (await until_stopped(bench.driver(), session)).lost_reason == "killed"
        woken = await driver.ensure(session)
        assert woken.state is RUNNING
        assert (await probe.ping(woken))["lostReason"] == "killed"
        assert woken.lost_before == "killed"
        assert (await probe.read(woken, "a.txt") == (200, b"kept")) is bench.settings.keeps_files

    async def test_delete_leaves_nothing(self, bench: Bench, probe: Probe, session: str) -> None:
        driver = bench.driver()
        await probe.write(await driver.ensure(session), "a.txt", b"gone")
        assert await bench.leftovers(session) != []
        await driver.delete(session)
        assert await bench.leftovers(session) == []
        await driver.delete(session)
        assert (await driver.status(session)).state is ABSENT
        assert (await probe.read(await driver.ensure(session), "a.txt"))[0] == 404

    async def test_delete_of_a_stopped_one(self, bench: Bench, session: str) -> None:
        driver = bench.driver()
        await driver.ensure(session)
        await driver.stop(session)
        await driver.delete(session)
        assert await bench.leftovers(session) == []

    async def test_stop_and_ensure_side_by_side_end_in_one_state(self, bench: Bench, session: str) -> None:
        one, other = bench.driver(), bench.driver()
        await one.ensure(session)
        await asyncio.gather(
            one.stop(session), other.ensure(session), other.stop(session), one.ensure(session)
        )
        assert (await other.status(session)).state in (RUNNING, STOPPED)
        assert (await other.ensure(session)).state is RUNNING
        assert await bench.alive(session) == 1

    async def test_list_has_all_but_the_absent(self, bench: Bench, session: str) -> None:
        driver, other = bench.driver(), new_id()
        try:
            await driver.ensure(session)
            await driver.ensure(other)
            await driver.stop(other)
            states = {sandbox.session: sandbox.state for sandbox in await bench.driver().list()}
            # Of a stopped one without volumes there is nothing to look after.
            assert states.get(other) is (STOPPED if bench.settings.keeps_files else None)
            assert states[session] is RUNNING
            running = next(sandbox for sandbox in await driver.list() if sandbox.session == session)
            assert running.url == (await driver.status(session)).url
        finally:
            await driver.delete(other)
        assert other not in {sandbox.session for sandbox in await driver.list()}

    async def test_a_token_opens_its_own_sandbox_alone(
        self, bench: Bench, probe: Probe, session: str
    ) -> None:
        sandbox = await bench.driver().ensure(session)
        assert (await probe.read(sandbox, "x", token_of=session))[0] == 404
        assert (await probe.read(sandbox, "x", token_of="another"))[0] == 401

    async def test_a_sandbox_that_ends_at_once_is_an_error_with_a_sentence(
        self, bench: Bench, session: str
    ) -> None:
        with pytest.raises(errors.SandboxUnavailable, match=f"session {session} ended while it started"):
            await bench.driver_of_failing().ensure(session)
        assert await bench.alive(session) == 0

    async def test_malformed_ids_reach_nothing(self, bench: Bench) -> None:
        driver = bench.driver()
        for malformed in ("", "../up", "a/b", "a b", "a" * 65, "ä"):
            for call in (driver.ensure, driver.status, driver.stop, driver.delete):
                with pytest.raises(errors.BadRequest):
                    await call(malformed)


class NamingConformance:
    """Of drivers that start sandboxes themselves; a pool's member is started, named or not, before its session is."""

    async def test_a_start_is_not_named_while_gateways_of_before_may_run(
        self, bench: Bench, session: str
    ) -> None:
        driver = bench.driver()
        assert isinstance(driver, NamesStarts)
        driver.names_starts = lambda: False
        assert (await driver.ensure(session)).start == ""
